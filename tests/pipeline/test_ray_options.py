"""Options for a Ray cluster: bad ones are told in one line, good ones reach the plan."""

from __future__ import annotations

import importlib.util
import socket
import tempfile
from typing import Any

import pytest
from tiny_suite import MAKING, capbench, run, trained, write_suite

from capbench.errors import UsageError
from capbench.pipeline.executors.on_ray import cluster as ray_cluster
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
if importlib.util.find_spec("ray") is not None:
    # Before any run within a test, which would forget what it imports: a second copy of protobuf's compiled part crashes.
    import ray.cluster_utils  # noqa: F401

TESTS = """
@about_base("of.base")
def test_base(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))
"""


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ("--capbench-executor=foo", ["=foo", "known: local, ray"]),
        ("--capbench-address=h:1", ["=h:1", "needs --capbench-executor=ray"]),
        ("--capbench-gpus-per-task=1", ["=1", "needs --capbench-executor=ray"]),
        ("--capbench-executor=ray --capbench-address=here", ["=here", "host:port"]),
        ("--capbench-executor=ray --capbench-gpus-per-task=0", ["=0", "above 0 and at most 1"]),
        ("--capbench-executor=ray --capbench-gpus-per-task=nan", ["=nan", "above 0 and at most 1"]),
        ("--capbench-executor=ray -n 2", ["omit -n", "--capbench-address"]),
        ("--capbench-executor=ray --capbench-address=127.0.0.1:{port}", ["{port}", "no Ray cluster answers there"]),
    ],
)
@needs_ray
def test_what_cannot_be_is_one_line(pytester: pytest.Pytester, options: str, parts: list[str]) -> None:
    with socket.socket() as nobody:  # bound, but it does not listen
        nobody.bind(("127.0.0.1", 0))
        port = str(nobody.getsockname()[1])
        write_suite(pytester, TESTS)
        result = run(pytester, *options.replace("{port}", port).split())
    errors = [line for line in result.errlines if line.strip()]
    assert result.ret == pytest.ExitCode.USAGE_ERROR and len(errors) == 1, errors
    assert [part for part in parts if part.replace("{port}", port) not in errors[0]] == []
    assert trained(pytester) == 0 if (pytester.path / "cache").exists() else True


@needs_ray
@pytest.mark.parametrize("usual", ["/tmp", "/" + "long" * 30])
def test_its_own_cluster_has_its_sockets_where_their_paths_fit(monkeypatch: pytest.MonkeyPatch, usual: str) -> None:
    from capbench.pipeline.executors.on_ray import connection

    given: dict[str, Any] = {}
    monkeypatch.setattr(connection.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connection.ray, "init", lambda **options: given.update(options))
    monkeypatch.setattr(connection.ray, "shutdown", lambda: None)
    monkeypatch.setattr(tempfile, "tempdir", usual)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    with connection.connected(RayCluster(), cores=1):
        assert given["_temp_dir"] == "/tmp/ray"
    given.clear()
    monkeypatch.setenv("RAY_TMPDIR", "/elsewhere")  # Ray reads it, and names a path that is too long
    with connection.connected(RayCluster(), cores=1):
        assert "_temp_dir" not in given


def test_without_ray_its_name_is_told(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'capbench\[ray\]'"):
        ray_cluster.check_installed("--capbench-executor")


@needs_ray
def test_capbench_train_uses_the_cluster_that_it_is_given(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its nodes need the device that they train on."""
    write_suite(pytester, TESTS)
    words = ("train", "test_tiny.py", *MAKING, "--executor=ray")
    with socket.socket() as nobody:  # bound, but it does not listen
        nobody.bind(("127.0.0.1", 0))
        address = f"--address=127.0.0.1:{nobody.getsockname()[1]}"
        refused = capbench(pytester, *words, address)
    assert refused.ret == 2 and f"{address}: no Ray cluster answers there" in refused.err and trained(pytester) == 0
    seen: list[Any] = []
    monkeypatch.setattr(Plan, "run", lambda plan, store, **more: seen.append(more["ray"]) or {})
    assert capbench(pytester, *words, "--address=h:1", "--gpus-per-task=.5", "--device=cuda").ret == 0
    assert seen == [RayCluster(address="h:1", gpus_per_task=0.5, option="--address")]
