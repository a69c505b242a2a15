"""What runs on a node of a Ray cluster, in this process: results that were lost, deaths, other versions, the user's files."""

from __future__ import annotations

import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from own_task import OwnTask
from ray_methods import Methods
from tiny_study import BASE, START, tuned

from capbench import __version__
from capbench.errors import CapbenchError
from capbench.methods.specs.registry import find
from capbench.pipeline.executors.on_ray import sources, worker
from capbench.pipeline.executors.on_ray.ledger import Ledger
from capbench.pipeline.executors.on_ray.payload import Failed, Made, Payload
from capbench.pipeline.steps import FineTune, Step
from capbench.store.code import training_code
from capbench.store.store import DamagedArtefact, Store


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


def test_the_users_files_are_found_and_used_where_they_were_laid(tmp_path: Path) -> None:
    """Also those of a class that a step is made of; nothing of capbench, nothing that is installed."""
    methods = Methods(tmp_path)
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
