"""Variants from Hypothesis: the same for the same seed, all different; what fails is shrunk, and kept for the next time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from capbench.errors import UsageError
from capbench.studies.pcfg.variant import SIMPLEST, Variant
from capbench.variants.drawing import Drawn, draw, simplest
from capbench.variants.strategies import variants, weak_relevance

WEAK, ANY = weak_relevance(), variants()


@cache
def twenty(strategy: SearchStrategy[Variant]) -> tuple[Drawn, ...]:
    return draw(strategy, 20, seed=0)


def ids(found: tuple[Drawn, ...]) -> list[str]:
    return [drawn.variant.id for drawn in found]


def test_a_seed_gives_its_own_variants_all_of_them_different() -> None:
    first, again, other = (draw(WEAK, 5, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert len(set(ids(first))) == 5 and len(set(ids(other))) == 5
    assert set(ids(first)) != set(ids(other))
    assert ids(draw(WEAK, 2, seed=1)) == ids(first)[:2], "more of them are the same and others"


def test_where_there_are_few_variants_all_of_them_are_drawn() -> None:
    few = st.sampled_from((1, 2)).map(lambda q: replace(SIMPLEST, task=replace(SIMPLEST.task, q=q)))
    assert sorted(drawn.variant.task.q for drawn in draw(few, 3, seed=0)) == [1, 2]


def explode(_: int) -> Variant:
    raise ValueError("this strategy\nbreaks")


@pytest.mark.parametrize(
    ("strategy", "parts"),
    [
        (
            st.integers(),
            ["int", "capbench.studies.pcfg.variant.Variant", "capbench.studies.deletion.conditions.Conditions"],
        ),
        (st.nothing(), ["nothing()", "no variants"]),
        (st.integers().map(explode), ["ValueError: this strategy breaks"]),
    ],
)
def test_a_strategy_of_something_else_is_told_in_one_line(strategy: SearchStrategy[Variant], parts: list[str]) -> None:
    with pytest.raises(UsageError) as told:
        draw(strategy, 2, seed=0)
    assert all(part in str(told.value) for part in parts) and "\n" not in str(told.value)


PLANTED: list[tuple[SearchStrategy[Variant], Callable[[Variant], bool], str]] = [
    (WEAK, lambda v: v.task.q == -1, "q=-1"),
    (WEAK, lambda v: v.task.family == "I", "family I, k = 2"),
    (WEAK, lambda v: v.task.d_model == 64 and v.prior == 0, "d_model=64, prior=0"),
    (WEAK, lambda v: v.task.setting.text_len < 16, "texts of 12"),
    (ANY, lambda v: v.c_tr > 0.9, "the simplest"),
    (ANY, lambda v: v.c_tr < 0.9, "c_tr=0"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "fails", "words"), PLANTED, ids=[words for *_, words in PLANTED])
def test_a_planted_fault_is_shrunk_to_a_few_words(
    strategy: SearchStrategy[Variant], fails: Callable[[Variant], bool], words: str, tmp_path: Path
) -> None:
    drawn = next(drawn for drawn in twenty(strategy) if fails(drawn.variant))
    asked: list[str] = []

    def counted(variant: Variant) -> bool:
        asked.append(variant.id)
        return fails(variant)

    found = simplest(strategy, counted, drawn, examples=tmp_path, name="x")
    assert found is not None and fails(found)
    assert found.words == words
    assert len(set(asked)) < 60  # each is a training


def test_a_variant_that_fails_is_kept_and_tried_first_the_next_time(
    tmp_path: Path, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hypothesis.core.global_force_seed", None)  # that of a run within another test stays
    if pytestconfig.getoption("hypothesis_seed") is not None:
        pytest.skip("with a seed Hypothesis keeps nothing")
    drawn = next(drawn for drawn in twenty(WEAK) if drawn.variant.task.q == -1)
    kept = simplest(WEAK, lambda v: v.task.q == -1, drawn, examples=tmp_path, name="x")
    assert kept is not None

    def first_asked(name: str) -> str:
        asked: list[str] = []
        simplest(WEAK, lambda v: bool(asked.append(v.id)), twenty(WEAK)[0], examples=tmp_path, name=name)
        return asked[0]

    assert first_asked("y") != kept.id, "another claim's"
    assert first_asked("x") == kept.id


def test_what_failed_before_and_no_longer_does_keeps_nothing_from_being_found(tmp_path: Path) -> None:
    drawn = next(drawn for drawn in twenty(WEAK) if drawn.variant.task.q == -1)
    simplest(WEAK, lambda v: v.task.q == -1, drawn, examples=tmp_path, name="x")
    only = simplest(WEAK, lambda v: v.id == drawn.variant.id, drawn, examples=tmp_path, name="x")
    assert only == drawn.variant


def test_where_nothing_fails_nothing_is_found(tmp_path: Path) -> None:
    assert simplest(WEAK, lambda v: False, twenty(WEAK)[0], examples=tmp_path, name="x") is None


def test_strategies_shrink_to_the_simplest(tmp_path: Path) -> None:
    for strategy in (WEAK, ANY):
        found = simplest(strategy, lambda v: True, twenty(strategy)[0], examples=tmp_path, name=repr(strategy))
        assert found == SIMPLEST and SIMPLEST.words == "the simplest"


@settings(max_examples=40, deadline=None)
@given(ANY)
def test_variants_that_differ_have_another_id_and_say_what_differs(found: Variant) -> None:
    assert (found.id == SIMPLEST.id) == (found == SIMPLEST)
    assert (found.words == "the simplest") == (found == SIMPLEST)
    assert "\n" not in found.words and len(found.id) == 8
