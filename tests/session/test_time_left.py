"""How long a plan goes on, worked out by hand from what a store remembers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_study import BASE, START, TRAIN, revived, tuned

from capbench.methods.specs.registry import find
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.session.time_left import TimeLeft
from capbench.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def made(store: Store, *steps: Step, **meta: Any) -> None:
    """As if the steps had been made."""
    for step in steps:
        store.save(step.key, kind=type(step).__name__, config=step.config, tensors={}, meta=meta)


def bases(*seeds: int) -> list[Step]:
    return [replace(BASE, train=replace(TRAIN, seed=seed)) for seed in seeds]


def left(store: Store, *wanted: Step, jobs: int = 1) -> TimeLeft:
    plan = Plan(wanted)
    return TimeLeft(plan, store, plan.missing(store), jobs=jobs)


def test_nothing_is_said_until_a_model_of_each_kind_was_made(store: Store) -> None:
    made(store, START, seconds=0.0)
    one, two, three = bases(1, 2, 3)
    time_left = left(store, one, two, three, tuned(find("full"), base=three))
    assert time_left.seconds() is None
    made(store, one, steps=6, seconds=10.0)
    assert time_left.seconds() is None  # no fine-tuning was made yet
    made(store, three, steps=6, seconds=10.0)
    made(store, tuned(find("full"), base=three), steps=6, seconds=30.0)
    assert time_left.seconds() == pytest.approx(10.0)
    made(store, two, steps=6, seconds=10.0)
    assert time_left.seconds() == 0.0


def test_a_revival_that_ended_early_says_that_others_will_and_nothing_of_those_from_scratch(store: Store) -> None:
    """One step of six, two seconds: another takes two seconds, not twelve."""
    first, second = (tuned(find("full"), base=base) for base in bases(1, 2))
    made(store, START, first.base, second.base, first, second, steps=6, seconds=1.0)
    scratch, again = revived(first.base), revived(second.base)
    time_left = left(store, revived(first), revived(second), scratch, again)
    made(store, revived(first), steps=1, seconds=2.0)
    assert time_left.seconds() is None
    made(store, scratch, steps=6, seconds=9.0)
    assert time_left.seconds() == pytest.approx(2.0 + 9.0)


def test_what_was_recorded_is_scaled_by_what_the_models_of_this_run_took(store: Store) -> None:
    """Ten seconds each, before; the first of this run takes forty: the median is still ten, but the machine is busy."""
    made(store, START, seconds=0.0)
    made(store, *bases(1, 2, 3), steps=6, seconds=10.0)
    four, *rest = bases(4, 5, 6)
    time_left = left(store, four, *rest, jobs=2)
    assert time_left.seconds() == pytest.approx(15.0)
    made(store, four, steps=6, seconds=40.0)
    assert time_left.seconds() == pytest.approx(40.0)  # two of forty, on two cores


def test_what_failed_takes_no_time(store: Store) -> None:
    made(store, START, seconds=0.0)
    made(store, *bases(1), steps=6, seconds=10.0)
    two, three = bases(2, 3)
    assert left(store, two, three).seconds({three.key}) == pytest.approx(10.0)


def test_an_estimate_that_the_clock_refuted_is_said_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty seconds each, before. After 101 without a model a minute is no longer what is left; a model tells anew how long."""
    now = 1000.0
    monkeypatch.setattr("capbench.session.time_left.time.monotonic", lambda: now)
    made(store, START, seconds=0.0)
    made(store, *bases(1, 2, 3), steps=6, seconds=50.0)
    four, *rest = bases(4, 5, 6)
    time_left = left(store, four, *rest)
    now = 1099.0
    assert time_left.seconds() == pytest.approx(150.0)
    now = 1101.0
    assert time_left.seconds() is None
    now = 1200.0
    made(store, four, steps=6, seconds=200.0)
    assert time_left.seconds() == pytest.approx(400.0)
    now = 1599.0  # four times as slow: each may take so much longer
    assert time_left.seconds() == pytest.approx(400.0)
    now = 1601.0
    assert time_left.seconds() is None
