"""Steps on a Ray cluster of two nodes that share nothing: the same bits, nothing twice, whatever dies; bad input in one line."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from own_task import OwnTask
from tiny_study import BASE, START, revived, tuned
from tiny_suite import MAKING, capbench, run, trained, write_suite

from capbench import __version__
from capbench.errors import CapbenchError, UsageError
from capbench.methods.specs.registry import find
from capbench.pipeline.executors.on_ray import cluster as ray_cluster
from capbench.pipeline.executors.on_ray import sources, worker
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.executors.on_ray.ledger import Ledger
from capbench.pipeline.executors.on_ray.payload import Failed, Made, Payload
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune, Step
from capbench.store.code import training_code
from capbench.store.store import DamagedArtefact, Store

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
if importlib.util.find_spec("ray") is not None:
    # Before any run within a test, which would forget what it imports: a second copy of protobuf's compiled part crashes.
    import ray.cluster_utils  # noqa: F401
ALONE = "CAPBENCH_RAY_TEST_ALONE"

# Says what it does, and where: in a file, as the processes of a cluster have nothing else in common with the test.
METHODS = """
import copy, os, time
from pathlib import Path
import neighbour
from capbench.training.loop import fit

def told(*words):
    node = os.environ.get("RAY_RAYLET_PID", "here")  # a method's own process is none of Ray's, but has its environment
    with open(Path(FOLDER, "log"), "a") as log:
        log.write(" ".join((*words, node)) + chr(10))
    return node

def wait_for(what):
    while not what():
        time.sleep(0.02)

def method(model, task, config, name="", lasts=False):
    node = told("begin", name)
    if node != "here":
        assert not __file__.startswith(FOLDER), "the file was sent, it is not read where it came from"
        log = Path(FOLDER, "log")  # with one core for each node, both have one of these
        wait_for(lambda: sum(f"begin {name[0]}" in line for line in log.read_text().splitlines()) >= 2)
        if lasts:
            go = Path(FOLDER, "go")  # a process may outlive its node for a moment
            wait_for(lambda: go.exists() and node != go.read_text())
    fit(tuned := neighbour.copied(model), task, config)
    told("end", name)
    return tuned

def breaks(model, task, config):
    raise ValueError("two\\nlines")

def dies(model, task, config):
    told("begin", "dies")
    os._exit(1)
"""
NEIGHBOUR = "import copy\ndef copied(model):\n    return copy.deepcopy(model)\n"


class Methods:
    """Fine-tunings by these methods, and what they said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._log = folder, folder / "log"
        self._file = folder / "mine.py"
        self._file.write_text(f"FOLDER = {str(folder)!r}\n{METHODS}")
        (folder / "neighbour.py").write_text(NEIGHBOUR)

    def tuned(self, method: str, **arguments: Any) -> FineTune:
        return tuned(find(f"{self._file}:{method}", arguments=tuple(arguments.items())))

    def said(self, *words: str) -> list[str]:
        """The nodes where these words were said."""
        lines = [line.split() for line in self._log.read_text().splitlines()] if self._log.exists() else []
        return [line[-1] for line in lines if line[:-1] == list(words)]


@pytest.fixture
def methods(tmp_path: Path) -> Methods:
    return Methods(tmp_path)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """One node of one core, whose head looks after the others more often than it would."""
    from ray.cluster_utils import Cluster

    often = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": often}
    )
    yield found
    found.shutdown()


def contents(plan: Plan, store: Store) -> dict[str, Any]:
    """All that was made, but for the time that it took."""
    found = {}
    for key in plan.steps:
        if (artefact := store.load(key)) is not None:
            tensors = {name: tensor.tolist() for name, tensor in artefact.tensors.items()}
            found[key] = (tensors, {**artefact.meta, "seconds": None})
    return found


@needs_ray
@pytest.mark.skipif(ALONE in os.environ, reason="this is the process that it starts")
def test_whatever_is_lost() -> None:
    """In a process of its own: Ray forks, which one that other tests have filled with threads (jax's, say) may not survive."""
    name = "test_whatever_is_lost_all_is_made_once_and_as_it_is_here"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"{__file__}::{name}"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST_")}
    ended = subprocess.run(command, env={**environment, ALONE: "1"}, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0 and "1 passed" in ended.stdout, ended.stdout[-4000:] + ended.stderr[-2000:]


@needs_ray
@pytest.mark.skipif(ALONE not in os.environ, reason="has a process of its own")
def test_whatever_is_lost_all_is_made_once_and_as_it_is_here(cluster: Any, methods: Methods, tmp_path: Path) -> None:
    """First each of two nodes makes one of a1 and a2; then each is at one of x1 and x2, and one node is killed.

    One method fails, one kills its own process.
    """
    node = cluster.add_node(num_cpus=1)
    place = str(node.all_processes["raylet"][0].process.pid)
    tasks = {name: methods.tuned("method", name=name, lasts=name[0] == "x") for name in ("a1", "a2", "x1", "x2")}
    breaks, dies = methods.tuned("breaks"), replace(methods.tuned("dies"), base=START)
    plan = Plan([revived(step) for step in (*tasks.values(), breaks, dies)])
    store, ticks = Store(tmp_path / "ray"), list[int]()

    def kill() -> None:
        while not (methods.said("begin", "x1") and methods.said("begin", "x2")):
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)
        methods.folder.joinpath("gone").write_text(place)
        methods.folder.joinpath("gone").rename(methods.folder / "go")

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    errors = plan.run(store, jobs=1, progress=ticks.append, ray=RayCluster(address=cluster.address))
    killer.join()

    failed = {step.key for step in (breaks, revived(breaks), dies, revived(dies))}
    assert errors.keys() == failed and errors[dies.key] == errors[revived(dies).key]
    assert dies.label in errors[dies.key] and "died" in errors[dies.key]
    deaths = methods.said("begin", "dies")
    assert 2 <= len(deaths) <= 2 + deaths.count(place)  # those on a node that is lost are forgiven
    assert "method 'mine.py:breaks' failed: ValueError: two lines (mine.py:" in errors[breaks.key]

    assert len(methods.said("begin", "a1") + methods.said("begin", "a2")) == 2  # on either node, and kept
    assert place in methods.said("end", "a1") + methods.said("end", "a2")
    begun = methods.said("begin", "x1") + methods.said("begin", "x2")
    assert len(begun) == 3 and begun.count(place) == 1  # what was under way there began anew
    assert [len(methods.said("end", name)) for name in tasks] == [1, 1, 1, 1]
    made = [step for key, step in plan.steps.items() if key not in failed]
    assert plan.missing(store) == [s for s in plan.in_order() if s.key in failed]
    assert sum(ticks) >= sum(step.cost for step in made)

    here = Store(tmp_path / "here")
    assert Plan(made).run(here, jobs=1) == {}
    assert contents(plan, store) == contents(Plan(made), here)


# ---- what runs on a node, in this process


class Local:
    """As much of Ray as a task and the ledger use, without any process."""

    alive = ("here",)

    def __init__(self, ledger: Ledger) -> None:
        for name in ("begin", "finish", "tick"):
            setattr(self, name, SimpleNamespace(remote=getattr(ledger, name)))

    @staticmethod
    def get(value: Any) -> Any:
        return value

    put = get

    @classmethod
    def nodes(cls) -> list[dict[str, Any]]:
        return [{"NodeID": name, "Alive": name in cls.alive} for name in ("here", "lost")]

    @staticmethod
    def get_runtime_context() -> Any:
        return SimpleNamespace(get_node_id=lambda: "here")


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setitem(sys.modules, "ray", Local)  # type: ignore[call-overload]
    monkeypatch.setattr(sys, "path", [*sys.path])  # where methods' neighbours are looked for
    return Ledger()


def payload(step: Step, **changes: Any) -> Payload:
    modules = frozenset(m for m in sources.modules_of(step) if m.startswith("capbench."))
    found = Payload(
        key=step.key,
        label=step.label,
        step=pickle.dumps(step),
        version=__version__,
        code=training_code(modules),
        modules=modules,
        snapshots={},
    )
    return replace(found, **changes)


NO_FILES = sources.Sources(files={}, folders=())


def test_a_task_that_is_carried_out_once_more_gives_what_is_there(ledger: Ledger) -> None:
    """As after the loss of the node that held its result."""
    first = worker.make(payload(START), NO_FILES, Local(ledger))
    assert isinstance(first, Made) and first.key == START.key and ledger.news()[0] == [START.key]
    again = worker.make(payload(START), NO_FILES, Local(ledger))
    assert again is first and ledger.news()[0] == []
    assert worker.make(payload(BASE), NO_FILES, Local(ledger), Failed(why="no")) == Failed(why="no")


def test_a_second_death_is_the_steps_own_fault_but_for_lost_nodes(ledger: Ledger) -> None:
    for node in ("lost", "lost", "here", "lost", "here"):
        assert ledger.begin("k", "a step", node) is None
    refused = ledger.begin("k", "a step", "here")
    assert isinstance(refused, Failed) and "'a step' died" in refused.why
    assert ledger.begin("other", "another", "here") is None


def test_what_was_damaged_on_its_way_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    made = worker.make(payload(START), NO_FILES, Local(ledger))
    assert isinstance(made, Made)
    store = Store(tmp_path / "store")
    bad = replace(made.content, tensors=made.content.tensors[:-1] + b"?")
    with pytest.warns(DamagedArtefact), pytest.raises(CapbenchError, match="damaged on its way"):
        store.put(START.key, bad)
    assert not store.has(START.key)
    store.put(START.key, made.content)
    store.put(START.key, bad)  # what is there stays
    assert store.intact(START.key) and store.content(START.key) == made.content


@pytest.mark.parametrize("changes", [{"version": "9.9"}, {"code": "0123"}])
def test_a_node_with_another_capbench_is_told_in_one_line(ledger: Ledger, changes: dict[str, str]) -> None:
    refused = worker.make(payload(START, **changes), NO_FILES, Local(ledger))
    assert isinstance(refused, Failed) and "\n" not in refused.why
    assert "differs" in refused.why and "install the same version on all nodes" in refused.why


def test_a_method_of_an_installed_package_must_be_the_same_there(ledger: Ledger) -> None:
    step = tuned(find("full"))
    other = replace(step, method=replace(step.method, digest="0123"))
    refused = worker.make(payload(other), NO_FILES, Local(ledger))
    assert isinstance(refused, Failed) and "method 'full' on node" in refused.why


def test_the_users_files_are_found_and_used_where_they_were_laid(methods: Methods, tmp_path: Path) -> None:
    """Also those of a class that a step is made of; nothing of capbench, nothing that is installed."""
    step = methods.tuned("breaks")
    wanted = sources.needed_by(replace(step, task=replace(step.task, target=OwnTask())))  # type: ignore[arg-type]
    names = {file.name for file in wanted.files}
    assert {"mine.py", "neighbour.py", "own_task.py", "tiny_study.py"} <= names
    assert "fit.py" not in names and "training.py" not in names and "pytest.py" not in names
    content = wanted.read()
    shutil.rmtree(methods.folder)
    place = sources.unpack(content, tmp_path / "there")
    moved = sources.relocated(step, place)
    assert isinstance(moved, FineTune) and moved.key == step.key and moved.method.name == step.method.name
    assert Path(moved.method.spec.rpartition(":")[0]).read_text().startswith("FOLDER")
    sys.path[:] = [place for place in sys.path if not place.startswith(str(tmp_path / "there"))]


def counting(file: Path, number: int) -> FineTune:
    """A fine-tuning by a method that says which version of it, and of the module beside it, ran."""
    file.with_name("version.py").write_text(f"def number():\n    return {number}\n")
    file.write_text(
        "import copy\nimport version\n\ndef method(model, task, config):\n    tuned = copy.deepcopy(model)\n"
        f"    tuned.unembedding.weight.data.fill_(10.0 * {number} + version.number())\n    return tuned\n"
    )
    return replace(tuned(find(f"{file}:method")), base=START)


def filled_with(made: Made | Failed, folder: Path) -> float:
    assert isinstance(made, Made), made
    store = Store(folder)
    store.put(made.key, made.content)
    artefact = store.load(made.key)
    assert artefact is not None
    return float(artefact.tensors["unembedding.weight"].max())


def test_a_process_that_is_still_there_uses_the_file_as_it_was_edited(ledger: Ledger, tmp_path: Path) -> None:
    first = worker.make(payload(START), NO_FILES, Local(ledger))
    for number in (1, 2, 1):
        step = counting(tmp_path / "mine.py", number)
        content = sources.needed_by(step).read()
        made = worker.make(payload(step), content, Local(ledger), first)
        assert filled_with(made, tmp_path / f"store {number}") == 11 * number


def test_a_file_that_was_edited_before_it_was_sent_is_told_and_makes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """Else what the new code makes would be kept under the key of the old."""
    first = worker.make(payload(START), NO_FILES, Local(ledger))
    step = counting(tmp_path / "mine.py", 1)
    counting(tmp_path / "mine.py", 2)
    refused = worker.make(payload(step), sources.needed_by(step).read(), Local(ledger), first)
    assert isinstance(refused, Failed) and "\n" not in refused.why
    assert "method 'mine.py:method' on node" in refused.why and "run it again" in refused.why


# ---- bad input

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
