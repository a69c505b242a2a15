"""Plans by priority: the order in which they would begin, worked out by hand, and what a time limit leaves finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_study import BASE, START, TRAIN

from capbench.pipeline.plan import Plan
from capbench.pipeline.priority_plan import PriorityPlan
from capbench.store.store import Store

LONG = replace(BASE, train=replace(TRAIN, steps=60))
OTHER = replace(START, seed=1)
LONGER = replace(BASE, start=OTHER, train=replace(TRAIN, steps=90))


def test_earlier_groups_come_first_however_long_the_later_ones_take() -> None:
    assert Plan([BASE, LONGER, LONG]).in_order() == [OTHER, LONGER, START, LONG, BASE]
    assert PriorityPlan([[BASE], [LONGER, LONG]]).in_order() == [START, BASE, OTHER, LONGER, LONG]
    assert PriorityPlan([[BASE, LONG], [LONGER]]).in_order() == [START, LONG, BASE, OTHER, LONGER]


def test_what_several_groups_need_has_the_priority_of_the_first() -> None:
    assert PriorityPlan([[LONGER], [BASE], [LONGER, START]]).in_order() == [OTHER, LONGER, START, BASE]
    assert PriorityPlan([]).in_order() == PriorityPlan([[]]).in_order() == []


def test_they_are_carried_out_in_this_order(tmp_path: Path) -> None:
    store, done = Store(tmp_path), []

    def progress(_: int) -> None:
        done.append(store.has(LONG.key))

    assert PriorityPlan([[LONG], [LONGER]]).run(store, jobs=1, progress=progress) == {}
    assert store.has(LONGER.key) and done == [False] * 60 + [True] * 90, "one report for every training step"


@pytest.mark.parametrize("strict_order", [True, False])
def test_none_begins_after_the_first_that_would_not_end_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict_order: bool
) -> None:
    """A second for each training step, 20 for 6, 60 and 6 of them: without the strict order, only the 60 are left out."""
    now = [0.0]

    def progress(steps: int) -> None:
        now[0] += steps

    monkeypatch.setattr("capbench.pipeline.clock.time", SimpleNamespace(monotonic=lambda: now[0]))
    short = replace(BASE, train=replace(TRAIN, seed=1))
    plan, store = PriorityPlan([[BASE], [LONG], [short]]), Store(tmp_path)
    monkeypatch.setattr(PriorityPlan, "strict_order", strict_order, raising=False)
    assert plan.run(store, jobs=1, progress=progress, deadline=20.0) == {}
    assert store.has(BASE.key) and not store.has(LONG.key)
    assert store.has(short.key) is not strict_order and now[0] == (6 if strict_order else 12)
