"""The plan: each step built once, parents first, whatever fails, and the same however many processes build it."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fresh import printed
from tiny_study import BASE, METHODS, MODEL, START, Counting, revived, slow_plan, steps, tuned

from capbench.errors import CapbenchError
from capbench.methods.specs.registry import find
from capbench.pipeline import clock
from capbench.pipeline.build import load_model
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import FineTune, Initialise, Step
from capbench.store.store import DamagedArtefact, Store
from capbench.studies.lab import Lab


@pytest.fixture(scope="module")
def methods(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("methods") / "mine.py"
    file.write_text(METHODS)
    return file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Counting(tmp_path / "cache")


def same(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def tensors(store: Store, step: Step) -> Any:
    artefact = store.load(step.key)
    assert artefact is not None, step.label
    return artefact.tensors


# ---- building


def test_a_plan_builds_every_step_once_and_parents_first(store: Counting, methods: Path) -> None:
    plan, done = Plan(steps(methods) * 2), list[int]()
    assert plan.run(store, jobs=1, progress=done.append) == {}
    assert sorted(store.built) == sorted(plan.steps) and len(plan.steps) == 8
    for step in plan.steps.values():
        assert all(store.built.index(parent.key) < store.built.index(step.key) for parent in step.parents)
    identity = next(s for s in plan.steps.values() if isinstance(s, FineTune) and s.method.name == "identity")
    assert sum(done) == sum(step.cost for step in plan.steps.values()) - identity.cost  # which trains nothing
    assert plan.missing(store) == [] and Plan(steps(methods)).run(store, jobs=1) == {} and len(store.built) == 8


def test_the_start_of_the_longest_chain_is_first(store: Store, methods: Path) -> None:
    alone = Initialise(architecture="capbench.models.gpt:Gpt", model=MODEL, seed=9)
    long = Initialise(architecture="capbench.models.gpt:Gpt", model=MODEL, seed=8)
    missing = Plan([revived(alone), revived(tuned(find("full"), replace(BASE, start=long)))]).missing(store)
    assert missing[0] == long and missing.index(alone) > 1


def test_what_was_built_is_what_the_steps_say(store: Store, methods: Path) -> None:
    good, in_place, same_as_base = (
        tuned(find(spec)) for spec in (f"{methods}:good", f"{methods}:in_place", "identity")
    )
    early, late = revived(good, goal=0.0), revived(good)
    assert Plan([good, in_place, same_as_base, early, late]).run(store, jobs=1) == {}
    assert not same(tensors(store, BASE), tensors(store, START)) and not same(
        tensors(store, good), tensors(store, BASE)
    )
    assert same(tensors(store, good), tensors(store, in_place))  # a method that does not copy harms nobody
    assert same(tensors(store, same_as_base), tensors(store, BASE))
    assert same(load_model(good, store).state_dict(), tensors(store, good)) and not load_model(good, store).training
    for step, at in ((BASE, [2, 4, 6]), (good, [0, 3, 6]), (late, [0, 2, 4, 6])):
        artefact = store.load(step.key)
        assert artefact is not None and artefact.meta["steps"] == 6 and artefact.meta["diverged"] is False
        curve = Lab(store).built(step).curve("O_PT")
        assert [x for x, _ in curve] == at and all(0 <= y <= 1 and y * 16 == int(y * 16) for _, y in curve)
    assert (store.meta(early.key) or {})["steps"] == 2  # the goal was reached when it was first looked at


def test_a_missing_model_is_named(store: Store) -> None:
    with pytest.raises(CapbenchError, match=re.escape(BASE.label)):
        load_model(BASE, store)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault, said",
    [
        ("raises", ["ValueError: two lines", "mine.py:"]),
        ("exits", ["SystemExit", "usage: mine.py"]),
        ("none", ["None"]),
        ("number", ["int"]),
        ("inner", ["Block"]),
        ("wider", ["unembedding.weight", "(99, 8)"]),
        ("adapter", ["adapter."]),
        ("pruned", ["norm."]),
        ("nothing_of_this_name", ["'nothing_of_this_name'", "good"]),
    ],
)
def test_a_failing_method_blocks_only_what_needs_it(store: Store, methods: Path, fault: str, said: list[str]) -> None:
    bad, good = tuned(find(f"{methods}:{fault}")), tuned(find("full"))
    plan = Plan([revived(bad), revived(good)])
    errors = plan.run(store, jobs=1)
    assert errors.keys() == {bad.key, revived(bad).key} and len(set(errors.values())) == 1
    assert all("\n" not in e and "mine.py" in e for e in errors.values())
    assert all(words in errors[bad.key] for words in said), errors[bad.key]
    assert {step.key for step in plan.missing(store)} == errors.keys()


def test_a_method_that_diverges_is_a_result_and_not_an_error(store: Store, methods: Path) -> None:
    step = tuned(find(f"{methods}:infinite"))
    assert Plan([revived(step)]).run(store, jobs=1) == {}
    assert (store.meta(step.key) or {})["diverged"] is True
    assert (store.meta(revived(step).key) or {})["diverged"] is True


def test_a_damaged_artefact_is_set_aside_and_built_again(store: Counting, methods: Path) -> None:
    plan = Plan([tuned(find("full"))])
    plan.run(store, jobs=1)
    before = tensors(store, BASE)
    file = store.root / "artefacts" / BASE.key[:2] / BASE.key / "tensors.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x55")
    with pytest.warns(DamagedArtefact, match=BASE.key):
        assert plan.missing(store) == [BASE]
    assert plan.run(store, jobs=1) == {}
    assert same(tensors(store, BASE), before) and len(list((store.root / "damaged").iterdir())) == 1
    assert store.built[3:] == [BASE.key]


# ---- several processes


@pytest.mark.slow
def test_two_jobs_give_the_same_bits_as_one(tmp_path: Path, methods: Path) -> None:
    plan, ways = Plan(steps(methods)), (Store(tmp_path / "1"), Store(tmp_path / "2"))
    torch.set_num_threads(2)  # as it is on a machine with two cores, but for tests
    for jobs, way in enumerate(ways, start=1):
        assert plan.run(way, jobs=jobs) == {}
    assert torch.get_num_threads() == 1
    for step in plan.steps.values():
        assert same(*(tensors(way, step) for way in ways)), step.label
        one, two = ({**(way.meta(step.key) or {}), "seconds": 0} for way in ways)
        assert one == two, step.label


@pytest.mark.slow
def test_a_worker_that_dies_costs_only_what_needs_its_step(store: Store, methods: Path) -> None:
    dying, good = tuned(find(f"{methods}:dies")), tuned(find(f"{methods}:slow"))
    assert Plan([BASE]).run(store, jobs=1) == {}
    others = [revived(BASE, goal=3.0 + i) for i in range(4)]  # more than there are workers
    errors = Plan([revived(dying), revived(good), *others]).run(store, jobs=2)
    assert errors.keys() == {dying.key, revived(dying).key}
    assert all("died" in e and dying.label in e and "\n" not in e for e in errors.values())


@pytest.mark.slow
def test_two_processes_with_one_store_build_each_step_once(store: Counting, tmp_path: Path) -> None:
    plan, start = slow_plan(), tmp_path / "start"
    code = f"import tiny_study\ntiny_study.when_told({str(store.root)!r}, {str(start)!r})"
    with ThreadPoolExecutor(2) as both:
        said = [both.submit(printed, code, tmp_path) for _ in range(2)]
        while len(list(tmp_path.glob("ready.*"))) < 2 and not any(found.done() for found in said):
            time.sleep(0.01)
        start.touch()
    assert [found.result() for found in said] == ["{}\n", "{}\n"]
    assert sorted(store.built) == sorted(plan.steps) and plan.missing(store) == []


# ---- a deadline

PATIENT = """
import os, time
from pathlib import Path
from types import SimpleNamespace
from capbench.training.loop import checkpoint, fit
def patient(model, task, config):
    fit(model, task, config)
    folder = Path(__file__).parent
    (folder / "started").write_text(str(os.getpid()))
    while not (folder / "go").exists():
        try:
            time.sleep(0.005)
            checkpoint(1, model)
        except Exception:
            pass  # a method that catches everything can be stopped, too
    return model
"""


@pytest.fixture
def patient(tmp_path: Path) -> FineTune:
    """A fine-tuning that waits until its folder holds a file 'go'."""
    tmp_path.joinpath("patient.py").write_text(PATIENT)
    return tuned(find(f"{tmp_path / 'patient.py'}:patient"))


def ended(process: int) -> bool:
    """Whether it is gone, or goes within 10 s: a process ends when it notices that the one it works for has ended."""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("jobs", [1, 2])
def test_after_the_deadline_nothing_begins(store: Counting, methods: Path, jobs: int) -> None:
    assert Plan(steps(methods)).run(store, jobs=jobs, deadline=time.monotonic()) == {}
    assert store.built == [] and multiprocessing.active_children() == []


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_step_is_stopped_at_the_deadline_and_the_rest_goes_on_later(
    store: Store, patient: FineTune, jobs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was finished is kept; the stopped step is made anew, with the result of a run that nobody stopped."""
    started = tmp_path / "started"
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: 100.0 if started.exists() else 0.0))
    plan = Plan([revived(patient), patient])
    assert plan.run(store, jobs=jobs, deadline=50.0) == {}
    assert plan.missing(store) == [patient, revived(patient)]
    made = (store.meta(BASE.key) or {})["seconds"]
    assert int(started.read_text()) != os.getpid() and ended(int(started.read_text()))

    monkeypatch.undo()
    tmp_path.joinpath("go").touch()
    assert plan.run(store, jobs=1, deadline=time.monotonic() + 600) == {} and plan.missing(store) == []
    assert (store.meta(BASE.key) or {})["seconds"] == made  # not made again
    untouched = Store(tmp_path / "untouched")
    assert plan.run(untouched, jobs=1) == {}
    for step in plan.steps.values():
        assert same(tensors(store, step), tensors(untouched, step))
        one, two = ({**(where.meta(step.key) or {}), "seconds": 0} for where in (store, untouched))
        assert one == two


def test_no_step_begins_that_would_not_be_finished(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a second per training step: once BASE is made there are four left, which is enough for three steps only."""
    now = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits for nothing"))
    long, short = tuned(find("full")), replace(revived(BASE), train=replace(BASE.train, steps=3))

    def second(steps: int) -> None:
        now[0] += steps

    assert Plan([long, revived(long), short]).run(store, jobs=1, progress=second, deadline=10.0) == {}
    assert store.built == [START.key, BASE.key, short.key] and now == [9.0]
    # In a new run nothing is known of the speed: it may try, and is stopped.
    assert Plan([long]).run(store, jobs=1, progress=second, deadline=10.5) == {}
    assert now == [11.0] and not store.has(long.key)
    assert Plan([long]).run(store, jobs=1, progress=second, deadline=18.0) == {} and store.has(long.key)


def test_the_speed_is_that_of_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: now[0]))
    seen: list[int] = []
    watched = clock.Clock(100.0, seen.append)
    other = replace(BASE, train=replace(BASE.train, seed=1))
    watched.began(START)  # is no training: its time says nothing
    now[0] = 20.0
    watched.ended(START)
    assert watched.fits(replace(BASE, train=replace(BASE.train, steps=10**9)))  # nothing is known yet
    watched.began(BASE)
    watched.began(other)
    now[0] = 40.0
    watched.trained(30)
    watched.ended(BASE)
    watched.trained(10)  # in twice 20 s: a step a second
    assert watched.fits(replace(BASE, train=replace(BASE.train, steps=59)))
    assert not watched.fits(replace(BASE, train=replace(BASE.train, steps=60)))
    now[0] = 60.0  # the other one is at it still
    assert watched.fits(replace(BASE, train=replace(BASE.train, steps=26)))
    assert not watched.fits(replace(BASE, train=replace(BASE.train, steps=27)))
    assert seen == [30, 10] and not watched.over
    now[0] = 100.0
    assert watched.over and not watched.fits(START)


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_worker_behind(store: Store, patient: FineTune, tmp_path: Path) -> None:
    assert Plan([BASE]).run(store, jobs=1) == {}

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Plan([patient, tuned(find("identity"))]).run(store, jobs=2, progress=interrupt)
    assert ended(int((tmp_path / "started").read_text())) and not store.has(patient.key)
