"""Verdicts against the twin: worked by hand, and what censored values may not do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.verdicts.twins import Attack, Case, Tool, Value, area, judge, retention, threshold, vote, worst

numbers = st.floats(-2, 10, allow_nan=False)
values = st.builds(Value, number=numbers, bound=st.sampled_from(["", ">=", "<="]))


def known(*those: float) -> list[Value]:
    return [Value(number=number) for number in those]


def test_retention_has_the_twin_as_zero() -> None:
    assert retention(0.4, twin=0.2, taught=1.0) == pytest.approx(0.25)
    assert retention(0.2, twin=0.2, taught=1.0) == 0
    assert retention(0.4, twin=1.0, taught=1.0) is None


def test_areas_and_thresholds_by_hand() -> None:
    hidden, deleted = known(3, 4, 1), known(1, 0.5)
    assert area(hidden, deleted) == pytest.approx(5.5 / 6)
    assert threshold(known(3, 4), known(1, 0)) == 2
    assert area(hidden, []) is None and threshold([], deleted) is None
    # At least 8 is above 3; at least 2 may be less.
    assert area([Value(number=8, bound=">=")], known(3)) == 1
    assert area([Value(number=2, bound=">=")], known(3)) == 0
    assert area(known(3), [Value(number=2, bound="<=")]) == 1 and area(known(3), [Value(number=2, bound=">=")]) == 0


@given(st.lists(values, min_size=1, max_size=6), st.lists(values, min_size=1, max_size=6))
def test_an_area_is_the_least_that_it_can_be(hidden: list[Value], deleted: list[Value]) -> None:
    """Whatever the censored values really are."""
    least = area(hidden, deleted)
    assert least is not None and 0 <= least <= 1
    for far in (0.0, 0.5, 20.0):
        up, down = (
            [Value(number=v.number + {"": 0.0, ">=": far, "<=": -far}[v.bound]) for v in kind]
            for kind in (hidden, deleted)
        )
        true = area(up, down)
        assert true is not None and least <= true + 1e-9


@given(values, numbers)
def test_a_bound_never_votes_for_the_side_that_it_may_not_be_on(value: Value, cut: float) -> None:
    found = vote(value, cut)
    assert not (found == "wrapped" and value.bound == "<=") and not (found == "deleted" and value.bound == ">=")


def test_votes() -> None:
    assert vote(Value(number=5, bound=">="), 2) == "wrapped" and vote(Value(number=1, bound=">="), 2) is None
    assert vote(Value(number=1, bound="<="), 2) == "deleted" and vote(Value(number=5, bound="<="), 2) is None
    assert (
        vote(None, 2)
        is vote(Value(number=1), None)
        is vote(Value(number=2), 2)
        is vote(Value(number=float("nan")), 2)
        is None
    )


TOOLS = [Tool(name=name, cut=cut, area=1.0) for name, cut in (("revival", 2.0), ("probe", 0.5))]
CASE = Case(
    kept=0.0, twin_kept=0.0, rise=0.0, twin_rise=0.0, values={"revival": Value(number=4), "probe": Value(number=0.9)}
)


def said(case: Case, tools: list[Tool] = TOOLS) -> str:
    return judge(case, tools).state


def test_verdicts_by_hand() -> None:
    assert said(CASE) == "wrapped"
    low = {"revival": Value(number=1.2), "probe": Value(number=0.1)}
    assert said(replace(CASE, values=low)) == "deleted"
    assert said(replace(CASE, kept=0.9)) == "intact" and said(replace(CASE, kept=0.5)) == "undecided"
    assert said(replace(CASE, kept=None)) == "undecided"
    apart = judge(replace(CASE, values={**low, "probe": Value(number=0.9)}), TOOLS)
    assert apart.state == "undecided" and apart.why == "revival says deleted; probe says wrapped"


def test_a_verdict_needs_a_sound_model_a_clean_twin_and_tools_that_speak() -> None:
    assert said(replace(CASE, rise=0.2)) == said(replace(CASE, twin_rise=0.2)) == "destroyed"
    assert said(replace(CASE, rise=float("inf"), kept=0.9)) == said(replace(CASE, rise=float("nan"))) == "destroyed"
    taught = judge(replace(CASE, twin_kept=0.6), TOOLS)
    assert taught.state == "undecided" and "taught its twin" in taught.why
    for tool in (replace(TOOLS[0], area=0.9), replace(TOOLS[0], area=None), replace(TOOLS[0], cut=None)):
        silent = judge(CASE, [tool, TOOLS[1]])
        assert silent.state == "undecided" and silent.why == "revival does not separate known members on this model"
    assert said(CASE, TOOLS[:1]) == "undecided"
    assert said(replace(CASE, values={"revival": Value(number=4)})) == "undecided"
    censored = {"revival": Value(number=1.5, bound=">="), "probe": Value(number=0.9)}
    assert said(replace(CASE, values=censored)) == "undecided"


def test_the_worst_attack_is_chosen_on_one_split_and_told_on_the_other() -> None:
    lucky = Attack(name="lucky", select=0.4, evaluate=0.95, rise=0.0)
    strong = Attack(name="strong", select=0.8, evaluate=0.7, rise=0.05)
    breaks = Attack(name="breaks", select=1.0, evaluate=1.0, rise=0.3)
    spoils = Attack(name="spoils", select=1.0, evaluate=1.0, rise=0.0, base=0.1)
    makes = Attack(name="makes", select=1.0, evaluate=1.0, rise=0.0, never=0.9)
    assert worst([lucky, strong, breaks, spoils, makes]) == strong
    assert worst([breaks]) is None and worst([]) is None
    assert [bool(a.admissible) for a in (lucky, strong, breaks, spoils, makes)] == [False, False, True, True, True]
