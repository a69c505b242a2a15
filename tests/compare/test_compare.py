"""Two runs compared: pairs by name and seed, directions, statuses, verdicts, and what is never mixed."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example
from runs_example import PROTOCOL, STATES, broken, claim, healthy, planted, run, verdict

from capbench.compare.gate import Gate, sentence
from capbench.compare.rows import ClaimRow, Comparison, Outcome
from capbench.compare.runs import compare
from capbench.compare.show import to_json, to_markdown, to_text
from capbench.errors import UsageError
from capbench.results import Collateral, CollateralState, Evidence, Measurement, Record, Results, Status
from capbench.verdicts import claims
from capbench.verdicts.rounding import Rounding


def row(before: Record, after: Record, **info: Any) -> ClaimRow:
    """The only row of two runs of one claim each."""
    (only,) = compare(run(before), run(after, **info)).claims
    return only


def regressions(a: Results, b: Results, *forms: str) -> tuple[str, ...]:
    return Gate.parse("--fail-on", forms or None).found(compare(a, b))


def what(comparison: Comparison) -> list[tuple[str, str, str]]:
    return [(item.what, item.a, item.b) for item in comparison.setup]


# ---- claims


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


YES, MAYBE, NO = (0.68, 0.70, 0.72), (0.48, 0.50, 0.52), (0.08, 0.10, 0.12)


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


# ---- pairing


def test_one_method_on_each_side_is_paired_whatever_its_name() -> None:
    a, b = run(claim("a.b", YES)), run(claim("a.b", YES, method="mine.py:tune"))
    comparison = compare(a, b)
    assert [(r.method_a, r.method_b, r.outcome) for r in comparison.claims] == [
        ("full", "mine.py:tune", Outcome.UNCHANGED)
    ]
    assert ("method", "full", "mine.py:tune") in what(comparison)
    assert comparison.notes == ("each run has one method, so these two are compared: A full, B mine.py:tune",)


def test_several_methods_are_paired_by_name_and_base_models_with_base_models() -> None:
    base = claim("base.validity", YES, method="")
    a = run(base, claim("a.b", YES), claim("a.b", NO, method="other"))
    b = run(base, claim("a.b", YES, method="third"), claim("a.b", MAYBE, method="other"))
    found = {(r.id, r.method_a, r.method_b): r.outcome for r in compare(a, b).claims}
    assert found == {
        ("a.b", "full", ""): Outcome.ONLY_A,
        ("a.b", "", "third"): Outcome.ONLY_B,
        ("a.b", "other", "other"): Outcome.IMPROVED,
        ("base.validity", "", ""): Outcome.UNCHANGED,
    }


def test_claims_of_another_case_model_or_task_are_other_claims() -> None:
    one = claim("a.b", YES)
    for other in ({"case": "lr=small"}, {"model": "count-16"}, {"task": "indexer"}):
        ends = {r.outcome for r in compare(run(one), run(dataclasses.replace(one, **other))).claims}
        assert ends == {Outcome.ONLY_A, Outcome.ONLY_B}


def test_other_scales_are_refused_with_both_names() -> None:
    with pytest.raises(UsageError, match=r"one.* scale small.*two.* scale paper; scales are never compared"):
        compare(run(run_id="one"), run(run_id="two", scale="paper"))


def test_how_the_runs_were_made_is_pointed_out() -> None:
    changes = {"seeds": (0, 1), "capbench": "9", "git_commit": None, "torch": "3", "device": "cuda", "python": "3.13"}
    comparison = compare(run(claim("a.b", YES)), run(claim("a.c", YES), **changes))
    assert {name for name, _, _ in what(comparison)} == {
        *("seeds", "capbench", "git commit", "torch", "device", "Python", "claims that the other lacks"),
    }
    assert ("seeds", "0, 1, 2", "0, 1") in what(comparison)
    assert any("on seeds 0, 1 only" in note for note in comparison.notes)
    assert "seeds: 0, 1, 2 | 0, 1" in to_text(comparison)


# ---- verdicts, the gate, and the planted regression


def test_a_rate_ten_times_too_high_is_found_where_it_did_harm_and_nowhere_else() -> None:
    comparison = compare(healthy(), planted())
    assert {r.id: r.outcome for r in comparison.claims} == {
        "relevance.shortcut": Outcome.UNCHANGED,
        "revival.efficiency": Outcome.WORSE,
    }
    (judged,) = comparison.verdicts
    assert (judged.id, judged.verdict_a, judged.verdict_b) == (
        "counter[prior=low,c_tr=1.0,lr=medium]", "wrapped", "deleted",
    )  # fmt: skip
    assert (judged.finetuned_a, judged.finetuned_b, judged.beyond) == ("shortcut", "shortcut", ("verdict",))
    probing = {e.tool: e for e in judged.evidence}["probing"]
    assert (probing.reading_a, probing.reading_b) == ("present", "absent")
    assert probing.difference == pytest.approx(-0.89)
    failed = regressions(healthy(), planted())
    assert failed == (
        "revival.efficiency supported → refuted",
        "counter[prior=low,c_tr=1.0,lr=medium] wrapped → deleted",
    )
    assert regressions(healthy(), planted(), "status") == failed[:1]
    assert regressions(healthy(), planted(), "margin:-0.05") == failed[:1]
    assert regressions(healthy(), planted(), "none") == ()
    # A verdict has no better or worse: the way back is one, too.
    assert regressions(planted(), healthy()) == ("counter[prior=low,c_tr=1.0,lr=medium] deleted → wrapped",)


def test_evidence_is_compared_seed_by_seed_where_it_was_kept() -> None:
    def judged_as(value: float, per_seed: dict[int, float | None]) -> Results:
        evidence = Evidence(tool="probing", value=value, unit="", reading="unclear", rule="", per_seed=per_seed)
        found = healthy()
        known = dataclasses.replace(found.capabilities[0], evidence=(evidence,))
        return dataclasses.replace(found, capabilities=(known,))

    (found,) = compare(judged_as(0.5, {0: 0.4, 1: 0.6}), judged_as(0.55, {1: 0.5, 2: 0.7, 0: None})).verdicts
    assert found.outcome is Outcome.CHANGED and not found.beyond  # only evidence moved
    (tool,) = found.evidence
    assert (tool.seeds, tool.differences, tool.difference) == ((1,), pytest.approx((-0.1,)), pytest.approx(-0.1))
    (plain,) = compare(judged_as(0.5, {}), judged_as(0.55, {})).verdicts
    assert (plain.evidence[0].differences, plain.evidence[0].difference) == ((), pytest.approx(0.05))


def test_a_verdict_that_one_flipped_seed_changed_by_a_hair_is_no_regression() -> None:
    """Probing lies around the threshold of its reading; three seeds moved by less than they differ from each other."""

    def judged_as(state: str, finetuned: str, *values: float, **changes: Any) -> Results:
        one = verdict(state, finetuned, probing=0.5)
        probing = dataclasses.replace(one.evidence[0], unit="retention", per_seed=dict(enumerate(values)))
        return run(dataclasses.replace(one, evidence=(probing,), **changes))

    a = judged_as("wrapped", "shortcut", 0.60, 0.70, 0.80)
    hair = judged_as("undecided", "shortcut", 0.58, 0.71, 0.79)
    assert regressions(a, hair) == () == regressions(hair, a)
    (found,) = compare(a, hair).verdicts
    assert found.outcome is Outcome.CHANGED and "no figure behind it moved" in found.note
    assert regressions(a, judged_as("undecided", "shortcut", 0.20, 0.30, 0.40)) == (
        "counter[prior=low,c_tr=1.0,lr=medium] wrapped → undecided",
    )
    # With no seed in common nothing tells rounding from a change: a hair may do `undecided`, but not `deleted`.
    other = {5: 0.2, 6: 0.2}
    for state, fails in (("undecided", False), ("deleted", True)):
        apart = judged_as(state, "shortcut")
        known = dataclasses.replace(apart.capabilities[0].evidence[0], per_seed=other)
        apart = dataclasses.replace(
            apart, capabilities=(dataclasses.replace(apart.capabilities[0], evidence=(known,)),)
        )
        assert bool(regressions(a, apart)) is fails


@pytest.mark.parametrize(("accuracies", "fails"), [((0.88, 0.95, 0.92), False), ((0.1, 0.2, 0.15), True)])
def test_the_fine_tuned_task_changed_if_its_accuracies_did(accuracies: tuple[float, ...], fails: bool) -> None:
    def with_accuracies(*values: float) -> Record:
        found = [
            Measurement(name="tuned.O_FT.c_te0", value=v, unit="accuracy", n=9, seed=seed)
            for seed, v in enumerate(values)
        ]
        return claim("a.b", (1.0, 1.0), protocol=PROTOCOL, model="gpt", task="counter", measurements=tuple(found))

    a = run(with_accuracies(0.90, 0.96, 0.91), verdict("wrapped", "learned", probing=0.9))
    b = run(with_accuracies(*accuracies), verdict("wrapped", None, probing=0.9))
    assert bool(regressions(a, b)) is fails


@pytest.mark.parametrize(("shares", "fails"), [((0.88, 0.95, 0.92), False), ((0.5, 0.6, 0.55), True)])
def test_collateral_damage_is_part_of_the_gate(shares: tuple[float, ...], fails: bool) -> None:
    def harmed(state: str, *shares: float) -> Results:
        found = Collateral(state=CollateralState(state), worst="CC", value=0.9, per_seed=dict(enumerate(shares)))
        return run(dataclasses.replace(verdict("deleted", probing=0.1), collateral=found))

    a, b = harmed("kept", 0.90, 0.96, 0.91), harmed("damaged", *shares)
    assert bool(regressions(a, b)) is fails
    old = run(verdict("deleted", probing=0.1))  # it was not measured, which is no change
    assert regressions(old, b) == () == regressions(b, old)


def test_tools_that_one_run_lacks_are_named() -> None:
    (found,) = compare(healthy(), run(verdict("undecided", None, behaviour=0.02))).verdicts
    assert (found.verdict_b, found.note) == ("undecided", "probing, pruning, revival in A only")
    assert [e.tool for e in found.evidence] == ["behaviour"]


def test_a_claim_or_verdict_that_vanished_is_a_regression_and_a_new_one_is_not() -> None:
    nothing = run()
    assert len(regressions(healthy(), nothing)) == 3 and len(regressions(healthy(), nothing, "status")) == 2
    assert regressions(healthy(), nothing, "margin:-0.05") == () == regressions(nothing, healthy())


@pytest.mark.parametrize(
    ("after", "form", "fails"),
    [
        ((0.58, 0.60, 0.62), "margin:-0.05", True),
        ((0.58, 0.60, 0.62), "margin:-0.09", False),  # it fell by .1, but the interval reaches above -.09
        ((0.58, 0.60, 0.62), "margin:0", True),
        ((0.67, 0.69, 0.71), "margin:0", False),  # by .01 on each seed, as rounding may do
        ((0.78, 0.80, 0.82), "margin:0", False),
        ((0.58, 0.60, 0.62), "status", False),
        ((0.48, 0.50, 0.52), "status", True),
    ],
)
def test_margins_and_statuses_fail_by_what_was_asked(after: tuple[float, ...], form: str, fails: bool) -> None:
    assert bool(regressions(run(claim("a.b", YES)), run(claim("a.b", after)), form)) is fails


def test_a_margin_that_is_lost_fell() -> None:
    assert regressions(run(claim("a.b", YES)), run(broken("a.b")), "margin:-0.5") == ("a.b supported → invalid",)


@pytest.mark.parametrize(
    "form", ["", "verdicts", "margin", "margin:", "margin:x", "margin:nan", "margin:-inf", "margin:0.05", "status:-1"]
)
def test_an_unknown_form_is_quoted(form: str) -> None:
    with pytest.raises(UsageError, match=r"margin:-0\.05") as caught:
        Gate.parse("--fail-on", [form])
    assert f"--fail-on={form}: unknown form" in str(caught.value)


def test_none_goes_with_nothing_else() -> None:
    with pytest.raises(UsageError, match="none cannot be combined, but none, status were given"):
        Gate.parse("--fail-on", ["none", "status"])


def test_the_last_line_names_a_few_and_counts_the_rest() -> None:
    gate = Gate.parse("--fail-on", ["status", "margin:-0.05"])
    assert sentence(["one", "two"], gate) == "regression (fail on status, margin:-0.05): one; two"
    assert sentence([f"c{i}" for i in range(20)], gate).endswith("c5; and 14 more")


# ---- properties

effects = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=1, max_size=3)


@st.composite
def runs(draw: st.DrawFn) -> Results:
    records: list[Any] = []
    for name in draw(st.sets(st.sampled_from("abcde"), max_size=4)):
        if draw(st.booleans()) or draw(st.booleans()):
            per_seed = draw(effects)
            seeds = draw(st.permutations(range(4)))[: len(per_seed)]
            records.append(claim(name, per_seed, draw(st.sampled_from([0, 1])), most=name < "c", seeds=seeds))
        else:
            records.append(broken(name, draw(st.sampled_from(["one", "two"]))))
    if draw(st.booleans()):
        tools = draw(st.dictionaries(st.sampled_from(["behaviour", "probing"]), st.floats(0, 1)))
        ends = st.sampled_from(["shortcut", "learned", None])
        records.append(verdict(draw(st.sampled_from(STATES)), draw(ends), keep=draw(st.booleans()), **tools))
    return run(*records)


@settings(max_examples=50, deadline=None)
@given(runs())
def test_a_run_compared_with_itself_is_no_difference(one: Results) -> None:
    comparison = compare(one, one)
    assert not comparison.setup and not comparison.notes
    assert not comparison.moved_claims and not comparison.moved_verdicts
    assert regressions(one, one, "verdict", "margin:0") == ()


SWAPPED = {Outcome.IMPROVED: Outcome.WORSE, Outcome.LOST: Outcome.GAINED, Outcome.ONLY_A: Outcome.ONLY_B}
SWAPPED |= {b: a for a, b in SWAPPED.items()}


@settings(max_examples=50, deadline=None)
@given(runs(), runs())
def test_the_other_way_round_everything_is_the_opposite(a: Results, b: Results) -> None:
    there, back = compare(a, b), compare(b, a)
    assert [(d.what, d.b, d.a) for d in there.setup] == what(back)
    for one, other in zip(there.claims, back.claims, strict=True):
        assert (one.id, SWAPPED.get(one.outcome, one.outcome)) == (other.id, other.outcome)
        assert (one.seeds, one.differences) == (other.seeds, tuple(-d for d in other.differences))
        assert (one.change is None) is (other.change is None)
        assert one.change is None or (other.change is not None and one.change == -other.change)
        assert one.ci == (other.ci and (-other.ci[1], -other.ci[0])) and one.noise == other.noise
    for left, right in zip(there.verdicts, back.verdicts, strict=True):
        assert (left.id, SWAPPED.get(left.outcome, left.outcome)) == (right.id, right.outcome)
        assert (left.verdict_a, left.verdict_b) == (right.verdict_b, right.verdict_a)
        assert left.beyond == right.beyond


@settings(max_examples=30, deadline=None)
@given(runs(), runs(), st.randoms(use_true_random=False))
def test_the_order_of_records_says_nothing(a: Results, b: Results, rng: random.Random) -> None:
    twice = dataclasses.replace(a, records=a.records + tuple(claim("a", (x, x), nodeid=f"n{x}") for x in (1, 2)))
    mixed = dataclasses.replace(
        twice,
        records=tuple(rng.sample(twice.records, len(twice.records))),
        capabilities=tuple(rng.sample(twice.capabilities, len(twice.capabilities))),
    )
    assert compare(mixed, b) == compare(twice, b) and compare(b, mixed) == compare(b, twice)


@settings(max_examples=30, deadline=None)
@given(runs(), runs())
def test_every_form_shows_every_moved_claim_and_json_holds_no_nan(a: Results, b: Results) -> None:
    comparison = compare(a, b)
    text, page = to_text(comparison), to_markdown(comparison)
    for moved in comparison.moved_claims:
        assert moved.id in text and moved.id in page
    raw = json.loads(to_json(comparison, ["x"]), parse_constant=pytest.fail)
    assert len(raw["claims"]) == len(comparison.claims) and raw["regression"] == ["x"]


# ---- what is shown


def test_no_difference_is_said_in_one_line() -> None:
    shown = to_text(compare(example(), example()))
    assert shown.splitlines()[-1] == "no difference: 11 claims (11 unchanged); 3 capability verdicts (3 unchanged)"
    assert "wrapper.pruning" not in shown and "set-up" not in shown
    assert to_text(compare(example(), example()), every=True).count("wrapper.pruning[prior=low,") == 2
    assert to_text(compare(run(), run())).splitlines()[-1] == "nothing to compare: the runs hold no claims"


def test_the_terminal_shows_statuses_differences_and_tools_in_120_columns() -> None:
    shown = to_text(compare(healthy(), planted()))
    assert max(map(len, shown.splitlines())) <= 120
    for part in ("supported → refuted", "-5.10", "-6.50", "-5.30", "wrapped → deleted", "probing 0.99 → 0.10"):
        assert part in " ".join(shown.split()), part
    assert "relevance.shortcut" not in shown
    assert "(full)" not in shown  # one method: no need to name it in every row
    two = run(claim("a.b", YES), claim("a.b", YES, method="other"))
    assert "a.b (other)" in to_text(compare(two, run(claim("a.b", NO, method="other"))))


def test_markdown_tells_the_regression_and_escapes_what_is_not_its_own() -> None:
    bad = dataclasses.replace(claim("a.b", NO), case="x|y*")
    page = to_markdown(compare(run(dataclasses.replace(bad, verdict=claim("a", YES).verdict)), run(bad)), ["a.b | c"])
    assert "- a.b \\| c" in page and "x\\|y\\*" in page and "| supported → refuted |" in page
