"""The plan's side of a Ray cluster, with a fake one: how many steps are submitted."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_study import BASE, tuned

from capbench.methods.specs.registry import find
from capbench.pipeline.clock import Clock
from capbench.pipeline.executors.on_ray import capacity
from capbench.pipeline.executors.on_ray.capacity import Capacity
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.store.store import Store


def on_cuda(n: int) -> list[Step]:
    return [replace(BASE, train=replace(BASE.train, device="cuda", seed=seed)) for seed in range(n)]


@pytest.mark.parametrize(
    ("cores", "gpus", "share", "expected"),
    [
        (16, 1, 0.25, 4),
        (3, 1, 0.25, 3),  # each also has a core
        (16, 2, 0.4, 4),  # two on either; nobody has a fifth of each
        (16, 1, 0.1, 10),
        (16, 1, 1.0, 1),
        (16, 0, 0.25, 16),  # they can never begin, and are submitted to be refused
    ],
)
def test_steps_that_begin_at_once_are_counted_by_gpu(cores: int, gpus: int, share: float, expected: int) -> None:
    found = Capacity.of({"CPU": float(cores), "GPU": float(gpus), "memory": 1e9}, share)
    begun: list[Step] = []
    for step in on_cuda(20):
        begun += [] if found.must_wait(step, begun) else [step]
    assert len(begun) == expected
    assert found.must_wait(BASE, begun) is (expected == cores)


def test_a_large_cluster_is_handed_enough_steps_as_far_as_files_can_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for files, expected in (
        (1024, [200, 200, 400, 512]),
        (100, [200] * 4),
        (resource.RLIM_INFINITY, [200, 200, 400, 2000]),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, files=files: (files, files))
        assert [capacity.ahead(cores) for cores in (1, 100, 200, 1000)] == expected


class Cluster:
    """As much of Ray as the plan's side uses: tasks are never begun. resources: what it says it has."""

    cloudpickle = pickle

    def __init__(self, **resources: float) -> None:
        self.resources = resources
        self.submitted: list[tuple[str, float]] = []  # name, share of a GPU

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "00" * 28)

    def put(self, value: Any) -> Any:
        return value

    def remote(self, function: Any) -> Any:
        def options(*, name: str, num_gpus: float = 0, **_: Any) -> Any:
            def submit(*arguments: Any) -> object:
                self.submitted += [(name, num_gpus)] if arguments else []  # else it is the ledger
                return object()

            return SimpleNamespace(remote=submit)

        return SimpleNamespace(options=options)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_under_a_deadline_no_step_waits_for_a_gpu_on_the_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One GPU, two trainings on it at a time: the third stays with the plan, steps for a core go on."""
    from capbench.pipeline.executors.on_ray import executor

    store, cluster = Store(tmp_path / "store"), Cluster(CPU=8, GPU=1)
    assert Plan([BASE]).run(store, jobs=1) == {}
    monkeypatch.setattr(executor, "ray", cluster)
    monkeypatch.setattr(executor, "connected", lambda cluster, cores: contextlib.nullcontext())
    clock, half = Clock(math.inf, lambda _: None), RayCluster(gpus_per_task=0.5)
    (tmp_path / "mine.py").write_text("def method(model, task, config): ...")
    own, three = tuned(find(f"{tmp_path}/mine.py:method")), on_cuda(3)
    for ahead, expected in ((False, [*three[:2], own]), (True, [*three, own])):
        found = executor.RayExecutor(half, store, clock, cores=1, ahead=ahead)
        for step in (*three, own):
            found.start(step)
        assert list(found.running) == expected
        found.close()
        assert found.free == (200 if ahead else 8)
    assert cluster.submitted[:3] == [(three[0].label, 0.5), (three[1].label, 0.5), (own.label, 0)]
