"""Claims of two runs compared: seed by seed, with directions, intervals and statuses."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from runs_example import MAYBE, NO, YES, broken, claim, regressions, row, run, what

from capbench.compare.rows import Outcome
from capbench.compare.runs import compare
from capbench.compare.show import to_text
from capbench.results import Measurement, Record, Status
from capbench.verdicts import claims
from capbench.verdicts.rounding import Rounding


def test_differences_are_taken_seed_by_seed_and_only_on_seeds_that_both_have() -> None:
    # A holds seeds 0, 1, 2; B holds 1, 2, 3, in another order. Shared: 1 (.5 -> .6) and 2 (.9 -> .8).
    found = row(claim("a.b", (0.7, 0.5, 0.9)), claim("a.b", (0.1, 0.8, 0.6), seeds=(3, 2, 1)))
    assert found.seeds == (1, 2)
    assert found.differences == pytest.approx((0.1, -0.1))
    assert (found.effect_a, found.effect_b, found.change) == pytest.approx((0.7, 0.7, 0))


def test_a_change_is_positive_where_it_is_better_for_the_claim() -> None:
    more = row(claim("a.b", (0.60, 0.62, 0.61)), claim("a.b", (0.80, 0.83, 0.82)))
    assert (more.outcome, more.change) == (Outcome.IMPROVED, pytest.approx(0.62 / 3))
    less = row(claim("a.b", (0.10, 0.12, 0.11), most=True), claim("a.b", (0.30, 0.33, 0.32), most=True))
    assert (less.outcome, less.differences) == (Outcome.WORSE, pytest.approx((0.2, 0.21, 0.21)))
    assert (less.change, less.ci) == (pytest.approx(-0.62 / 3), more.ci and pytest.approx((-more.ci[1], -more.ci[0])))


KINDS = {"any": Rounding(kind="any", share=0.5, variance=0.0, df=0.0, conditions=9)}
KINDS["accuracy"] = Rounding(kind="accuracy", share=0.5, variance=0.0004, df=2.0, conditions=9)
KINDS["ratio"] = Rounding(kind="ratio", share=0.5, variance=0.0, df=0.0, conditions=9)


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of rounding that can be worked with by hand."""
    monkeypatch.setattr("capbench.compare.changes.rounding", lambda kind: KINDS.get(kind, KINDS["any"]))


@pytest.mark.usefixtures("noise")
def test_a_paired_interval_worked_by_hand() -> None:
    """A (.5 .6 .7) and B (.4 .6 .5): differences -.1 0 -.2, mean -.1, squares around it .02.

    Between seeds A varies by .01 and B by .01; half of that is rounding, and a difference has it twice: .01, from 4 degrees of
    freedom.
    Shrunk: (4 * .01 + .02) / (4 + 2) = .01. t(6) = 2.447, so the half-width is 2.447 * sqrt(.01 / 3) = .1413.
    """
    found = row(claim("a.b", (0.5, 0.6, 0.7)), claim("a.b", (0.4, 0.6, 0.5)))
    assert found.ci == pytest.approx((-0.1 - 0.1413, -0.1 + 0.1413), abs=1e-4)
    assert (found.noise, found.outcome) == (pytest.approx(math.sqrt(0.01 / 3)), Outcome.CHANGED)


@pytest.mark.usefixtures("noise")
def test_where_seeds_agree_the_kind_s_own_rounding_counts() -> None:
    """All seeds at 1.0, then all at .98: no spread anywhere. Rounding: (2 * .0004 + 4 * 0) / 6 a run, so .000267 of a difference,
    from 6 degrees of freedom. Shrunk with the differences' own spread, 0 from 2: .0002. t(8) = 2.306: half-width .0188, noise
    .0094.
    """
    one = claim("a.b", (1.0, 1.0, 1.0), what="an accuracy")
    found = row(one, claim("a.b", (0.98, 0.98, 0.98), what="an accuracy"))
    assert found.ci == pytest.approx((-0.0388, -0.0012), abs=1e-4) and found.noise == pytest.approx(0.00943, abs=1e-5)
    assert found.outcome is Outcome.CHANGED  # below zero, but not by more than rounding
    assert row(one, claim("a.b", (0.96, 0.96, 0.96), what="an accuracy")).outcome is Outcome.WORSE


@pytest.mark.usefixtures("noise")
def test_ratios_are_compared_as_factors() -> None:
    found = row(claim("a.b", (2.0, 4.0, 8.0), what="a ratio"), claim("a.b", (1.0, 2.0, 4.0), what="a ratio"))
    assert found.differences == pytest.approx((-math.log(2),) * 3)
    assert (found.effect_a, found.effect_b, found.change) == pytest.approx((4.0, 2.0, -math.log(2)))
    assert "×0.50" in to_text(
        compare(run(claim("a.b", (2, 4, 8), what="a ratio")), run(claim("a.b", (1, 2, 4), what="a ratio")))
    )
    nothing = row(claim("a.b", (2.0, 4.0), what="a ratio"), claim("a.b", (0.0, 2.0), what="a ratio"))
    assert nothing.differences == (-2.0, -2.0)  # 0 has no logarithm


def test_a_change_whose_interval_holds_zero_is_neither_better_nor_worse() -> None:
    found = row(claim("a.b", (0.6, 0.7, 0.8)), claim("a.b", (0.9, 0.6, 0.8)))
    assert found.outcome is Outcome.CHANGED and found.change == pytest.approx(0.2 / 3)


def test_with_one_seed_all_is_provisional_and_nothing_a_regression() -> None:
    a, b = run(claim("a.b", (0.7,)), broken("a.c", seeds=(0,))), run(claim("a.b", (0.1,)), seeds=(0,))
    found = compare(a, b)
    (one, gone) = found.claims
    assert (one.outcome, one.ci, one.change, one.provisional) == (Outcome.CHANGED, None, pytest.approx(-0.6), True)
    assert gone.provisional and regressions(a, b, "verdict", "margin:0") == ()
    assert "changed; provisional" in to_text(found) and any("B has one seed" in note for note in found.notes)
    three = claim("a.b", (0.7, 0.7, 0.7), seeds=(0, 1, 2))
    assert row(three, claim("a.b", (0.1, 0.1, 0.1), seeds=(2, 3, 4))).provisional  # they share one seed


def test_a_value_that_one_run_lacks_is_missing_and_on_most_seeds_no_rounding() -> None:
    def with_values(*values: float | None, status: str = "supported") -> Record:
        known = claim("a.b", (0.7, 0.71, 0.72))
        changed = dataclasses.replace(known.verdict, per_seed=values, status=Status(status))
        return dataclasses.replace(known, verdict=changed)

    once = row(with_values(0.7, 0.71, 0.72), with_values(0.7, None, 0.72, status="inconclusive"))
    assert (once.seeds, once.outcome, once.regressed) == ((0, 2), Outcome.CHANGED, False)
    mostly = row(with_values(0.7, 0.71, 0.72), with_values(0.7, None, None, status="inconclusive"))
    assert mostly.outcome is Outcome.WORSE and "only one run has an effect (1, 2)" in mostly.note


def test_rounding_is_no_change() -> None:
    assert row(claim("a.b", (0.6, 0.7)), claim("a.b", (0.6 + 1e-13, 0.7))).outcome is Outcome.UNCHANGED


def test_a_bound_is_no_value() -> None:
    """The revival of seed 2 never got there: 20 is the least that its ratio can be."""

    def revived(*ratios: float, bound: str) -> Record:
        kept = [
            Measurement(name="revival.ratio", value=v, unit="ratio", n=9, seed=s, bound=bound if s == 2 else "")
            for s, v in enumerate(ratios)
        ]
        return claim("a.b", ratios, 2.0, what="a ratio", measurements=tuple(kept))

    whole = revived(6.0, 6.2, 6.1, bound="")
    assert row(whole, revived(6.0, 6.2, 20.0, bound=">=")).seeds == (0, 1)
    assert row(whole, revived(6.0, 6.2, 20.0, bound="")).seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (YES, MAYBE, Outcome.WORSE), (MAYBE, NO, Outcome.WORSE), (YES, NO, Outcome.WORSE),
        (NO, MAYBE, Outcome.IMPROVED), (MAYBE, YES, Outcome.IMPROVED), (NO, YES, Outcome.IMPROVED),
    ],
)  # fmt: skip
def test_statuses_have_an_order(before: tuple[float, ...], after: tuple[float, ...], outcome: Outcome) -> None:
    found = row(claim("a.b", before), claim("a.b", after))
    assert found.outcome is outcome and found.status_fell is (outcome is Outcome.WORSE)


def test_a_status_that_fell_by_a_hair_is_no_regression() -> None:
    """An interval's end went past the threshold, but the effects hardly moved."""
    a, b = claim("a.b", (0.60, 0.70, 0.80)), claim("a.b", (0.58, 0.71, 0.79))
    a = dataclasses.replace(a, verdict=dataclasses.replace(a.verdict, status=Status.SUPPORTED))
    for status in (Status.INCONCLUSIVE, Status.REFUTED):
        after = dataclasses.replace(b, verdict=dataclasses.replace(b.verdict, status=status))
        found = row(a, after)
        assert (found.outcome, found.status_fell, found.regressed) == (Outcome.CHANGED, True, False)
        assert "no more than rounding" in found.note
        assert regressions(run(a), run(after), "verdict", "margin:0") == ()


def test_an_invalid_claim_is_lost_or_gained_and_has_no_numbers() -> None:
    lost = row(claim("a.b", YES), broken("a.b", "training diverged"))
    assert (lost.outcome, lost.change, lost.note, lost.status_fell) == (Outcome.LOST, None, "training diverged", True)
    gained = row(broken("a.b"), claim("a.b", NO))
    assert (gained.outcome, gained.change, gained.status_fell) == (Outcome.GAINED, None, False)
    assert row(broken("a.b", "one"), broken("a.b", "one")).outcome is Outcome.UNCHANGED
    other = row(broken("a.b", "one"), broken("a.b", "two"))
    assert other.outcome is Outcome.CHANGED and "one" in other.note and "two" in other.note


def test_effects_of_different_conditions_are_not_compared() -> None:
    """A claim shows its worst condition: 6.2 times as fast on the one hand, an accuracy of .2 on the other."""
    fast, reached = claims.at_least((6.0, 6.2), 2, "ratio"), claims.at_least((0.2, 0.21), 0.9, "accuracy")
    both = dataclasses.replace(claims.all_of(fast, reached), status=Status.REFUTED)
    yes = claim("a.b", (6, 6.2), 2, what="ratio")
    yes = dataclasses.replace(yes, verdict=dataclasses.replace(yes.verdict, status=Status.SUPPORTED))
    found = row(yes, dataclasses.replace(yes, verdict=both))
    assert (found.outcome, found.change, found.differences) == (Outcome.WORSE, None, ())
    assert "A ratio >=" in found.note and "B accuracy >=" in found.note
    # Without numbers, a step to `inconclusive` may be a hair; supported and refuted lie on two sides of a threshold.
    hair = row(yes, dataclasses.replace(yes, verdict=dataclasses.replace(both, status=Status.INCONCLUSIVE)))
    assert (hair.outcome, hair.regressed, found.regressed) == (Outcome.CHANGED, False, True)


@pytest.mark.parametrize(("values", "fails"), [((0.90, 0.96, 0.92), False), ((0.60, 0.70, 0.65), True)])
def test_a_condition_that_decides_only_in_one_run_is_found_in_the_other(values: tuple[float, ...], fails: bool) -> None:
    """In A the first condition is shown, in B the second, as it is inconclusive now; the measurements hold it for both."""

    def measuring(first: tuple[float, ...], second: tuple[float, ...], shown: str, status: Status) -> Record:
        kept = [
            Measurement(name=name, value=value, unit="accuracy", n=9, seed=seed)
            for name, per_seed in (("one", first), ("two", second))
            for seed, value in enumerate(per_seed)
        ]
        record = claim(
            "a.b", {"one": first, "two": second}[shown], 0.9, what=f"{shown} accuracy", measurements=tuple(kept)
        )
        return dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, status=status))

    a = measuring((0.97, 0.98, 0.99), (0.92, 0.97, 0.93), "one", Status.SUPPORTED)
    b = measuring((0.96, 0.98, 0.99), values, "two", Status.INCONCLUSIVE)
    found = row(a, b)
    assert (found.outcome is Outcome.WORSE) is found.regressed is fails
    assert (row(b, a).outcome is Outcome.IMPROVED) is fails


def test_without_a_seed_in_common_nothing_is_compared() -> None:
    comparison = compare(run(claim("a.b", YES)), run(claim("a.b", YES, seeds=(5, 6, 7)), seeds=(5, 6, 7)))
    assert [r.outcome for r in comparison.claims] == [Outcome.NOT_COMPARABLE]
    assert any("share none" in note for note in comparison.notes)


def test_a_run_that_holds_means_only_is_compared_by_them() -> None:
    def means(effect: float, **changes: Any) -> Record:
        known = claim("a.b", (effect, effect))
        return dataclasses.replace(known, verdict=dataclasses.replace(known.verdict, per_seed=()), **changes)

    found = row(means(0.6), means(0.8))
    assert (found.change, found.differences, found.ci) == (pytest.approx(0.2), (), None)
    assert row(means(0.6), means(0.8, seeds=(1, 2))).change is None  # of other seeds: not mixed


def test_a_threshold_that_moved_is_pointed_out_and_does_not_count_as_a_change_of_the_effect() -> None:
    a, b = run(claim("a.b", YES, 0.5)), run(claim("a.b", YES, 0.7))
    (found,) = compare(a, b).claims
    assert ("threshold of a.b", "0.5", "0.7") in what(compare(a, b))
    assert (found.change, found.outcome, found.note) == (0, Outcome.CHANGED, "the threshold moved")
    assert regressions(a, b) == ()
    assert regressions(a, b, "margin:-0.05") == ()
