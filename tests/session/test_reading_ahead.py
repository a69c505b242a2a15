"""Readings that other processes carry out: the same ones, found in the store; what cannot be sent is left to the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from readings_of_seeds import part, shown, sought, whole
from tiny import study

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.results import Measurement
from capbench.session.reading_ahead import anything_missing, read_ahead
from capbench.store.store import Store
from capbench.studies.judge import Case, Claim, Judge
from capbench.studies.lab import Bench, Built, Lab
from capbench.studies.pcfg.readings import behaviour
from capbench.verdicts.tools import Toolbox

STUDY = study()


def needs(study: Any, seed: int, case: Case) -> Mapping[str, Step]:
    return {"base": study.initialised(seed)}


def judge(store: Store, seed: int, *, lab: Lab | None = None, **changes: Any) -> Judge:
    claim = Claim(id="some.claim", source="Table 1", needs=needs)
    steps = {seed: needs(STUDY, seed, Case())}
    given = {"claim": claim, "case": Case(), "nodeid": "", "method": "full", "study": STUDY, "lab": lab or Lab(store)}
    return Judge(**{**given, "steps": steps, **changes})


def body(judge: Judge) -> None:
    judge.measure((behaviour, ["base"]))


class Fails(Lab):
    """A lab that has no models: it gives what is kept."""

    def built(self, step: Step, device: str = "cpu") -> Any:
        raise LookupError(step.label)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "cache")
    assert not Plan([*needs(STUDY, 0, Case()).values(), *needs(STUDY, 1, Case()).values()]).run(found, jobs=1)
    return found


def measured(store: Store, seed: int, lab: Lab) -> tuple[Measurement, ...]:
    return lab.read(behaviour, Bench(study=STUDY, seed=seed), needs(STUDY, seed, Case()))


def test_the_readings_are_in_the_store_and_are_those_of_this_process(store: Store, tmp_path: Path) -> None:
    with pytest.raises(LookupError):
        measured(store, 0, Fails(store))
    read_ahead([(judge(store, seed), body) for seed in (0, 1)], store.root, jobs=2, bundled=False)
    other = Store(tmp_path / "other")
    assert not Plan([*needs(STUDY, 0, Case()).values(), *needs(STUDY, 1, Case()).values()]).run(other, jobs=1)
    for seed in (0, 1):
        found = measured(store, seed, Fails(store))
        assert found and found == measured(other, seed, Lab(other))


def test_something_is_missing_until_all_is_kept(store: Store) -> None:
    """A run whose models are kept and whose readings are not, after an update say, is read in several processes, too."""
    tests = [(judge(store, seed), body) for seed in (0, 1)]
    assert anything_missing(tests, store, bundled=False)
    measured(store, 0, Lab(store))
    assert anything_missing(tests, store, bundled=False) and not anything_missing(tests[:1], store, bundled=False)
    measured(store, 1, Lab(store))
    others = [(judge(store, 0), left) for left in LEFT[:2]]
    blocked = judge(store, 2, blocked="its method failed")
    assert not anything_missing([*others, (blocked, body), *tests], store, bundled=False)


def of_a_test_file(bench: Bench[Any], base: Built) -> Iterable[Measurement]:
    raise AssertionError("not to be called in the test's own process")


def refuses(judge: Judge) -> None:
    raise ValueError("before it measures")


LEFT: list[Callable[[Judge], object]] = [
    refuses,
    lambda judge: None,
    lambda judge: judge.measure((lambda bench, base: [], ["base"])),  # cannot be pickled
    lambda judge: judge.measure((of_a_test_file, ["base"])),
    lambda judge: judge.measure((behaviour, ["no such model"])),
]


def test_what_cannot_be_read_ahead_is_left_and_keeps_nothing_else_back(store: Store) -> None:
    blocked = judge(store, 0, blocked="its method failed")
    tests = [*((judge(store, 0), left) for left in LEFT), (blocked, body), (judge(store, 1), body)]
    read_ahead(tests, store.root, jobs=2, bundled=False)
    assert measured(store, 1, Fails(store))
    with pytest.raises(LookupError):
        measured(store, 0, Fails(store))


def of_seeds(store: Store, *seeds: int) -> Judge:
    """A judge of several seeds, whose behaviour is `shown`."""
    steps = {seed: needs(STUDY, seed, Case()) for seed in seeds}
    assert not Plan([step for by_name in steps.values() for step in by_name.values()]).run(store, jobs=1)
    return judge(store, 0, study=replace(STUDY, toolbox=Toolbox(behaviour=("shown",))), steps=steps)


def is_kept(store: Store, reading: Any, seed: int, **arguments: str) -> bool:
    try:
        Fails(store).read(reading, Bench(study=STUDY, seed=seed), needs(STUDY, seed, Case()), arguments)
    except LookupError:
        return False
    return True


def looks(judge: Judge) -> None:
    judge.measure((shown, ["base"]), where_lost=((sought, ["base"]), (whole, ["base"])))


def asks_for_the_whole(judge: Judge) -> None:
    judge.measure((whole, ["base"]))


def test_what_is_lost_on_one_seed_is_looked_for_on_all(store: Store) -> None:
    """And what it is made of is read on its own, once something is lost."""
    kept, lost_on_one, lost, failing = (0, 2), (4, 6, 1), (3, 5), (8, 7, 9)
    every = [*kept, *lost_on_one, *lost, *failing]
    tests = [(of_seeds(store, *seeds), looks) for seeds in (kept, lost_on_one, lost, failing)]
    read_ahead(tests, store.root, jobs=2, bundled=False, where_lost=False)
    assert [seed for seed in every if not is_kept(store, shown, seed)] == [9]
    assert not any(is_kept(store, sought, seed) for seed in every)
    read_ahead(tests, store.root, jobs=2, bundled=False)
    for found in (sought, whole):
        assert [seed for seed in every if is_kept(store, found, seed)] == [*lost_on_one, *lost]
    assert [seed for seed in every if is_kept(store, part, seed, name="two")] == [*lost_on_one, *lost]


def test_parts_of_several_models_are_read_where_the_whole_fails(store: Store) -> None:
    read_ahead([(of_seeds(store, 0, 9), asks_for_the_whole)] * 2, store.root, jobs=2, bundled=False)
    assert all(is_kept(store, part, seed, name=name) for seed in (0, 9) for name in ("one", "two"))
    assert is_kept(store, whole, 0) and not is_kept(store, whole, 9)
