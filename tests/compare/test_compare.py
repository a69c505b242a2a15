"""Two runs compared: pairs by name and seed, directions, statuses, verdicts, and what is never mixed."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example
from runs_example import STATES, broken, claim, healthy, planted, run, verdict

from capbench.compare.gate import Gate, sentence
from capbench.compare.rows import ClaimRow, Comparison, Outcome
from capbench.compare.runs import compare
from capbench.compare.show import to_json, to_markdown, to_text
from capbench.errors import UsageError
from capbench.results import Evidence, Record, Results
from capbench.verdicts import claims


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
    assert found.ci == pytest.approx((-0.1, 0.1))


def test_a_change_is_positive_where_it_is_better_for_the_claim() -> None:
    more = row(claim("a.b", (0.6, 0.7)), claim("a.b", (0.7, 0.9)))
    assert (more.outcome, more.change, more.ci) == (Outcome.IMPROVED, pytest.approx(0.15), pytest.approx((0.1, 0.2)))
    less_wanted = row(claim("a.b", (0.1, 0.2), most=True), claim("a.b", (0.2, 0.4), most=True))
    assert (less_wanted.outcome, less_wanted.differences) == (Outcome.WORSE, pytest.approx((0.1, 0.2)))
    assert (less_wanted.change, less_wanted.ci) == (pytest.approx(-0.15), pytest.approx((-0.2, -0.1)))


def test_a_change_whose_interval_holds_zero_is_neither_better_nor_worse() -> None:
    found = row(claim("a.b", (0.6, 0.7, 0.8)), claim("a.b", (0.9, 0.6, 0.8)))
    assert found.outcome is Outcome.CHANGED and found.change == pytest.approx(0.2 / 3)


def test_with_one_seed_there_is_no_interval() -> None:
    found = row(claim("a.b", (0.6,)), claim("a.b", (0.7,)))
    assert (found.outcome, found.ci, found.change) == (Outcome.IMPROVED, None, pytest.approx(0.1))


def test_rounding_is_no_change() -> None:
    assert row(claim("a.b", (0.6, 0.7)), claim("a.b", (0.6 + 1e-13, 0.7))).outcome is Outcome.UNCHANGED


YES, MAYBE, NO = (0.6, 0.7), (0.4, 0.7), (0.1, 0.2)


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
    fast, reached = claims.at_least((6.0, 6.2), 2, "ratio"), claims.at_least((0.2, 0.3), 0.9, "accuracy")
    both = claims.all_of(fast, reached)
    found = row(claim("a.b", (6, 6.2), 2, what="ratio"), dataclasses.replace(claim("a.b", (1, 1)), verdict=both))
    assert (found.outcome, found.change, found.differences) == (Outcome.WORSE, None, ())
    assert "A ratio >=" in found.note and "B accuracy >=" in found.note


def test_without_a_seed_in_common_nothing_is_compared() -> None:
    comparison = compare(run(claim("a.b", YES)), run(claim("a.b", (0.8, 0.9), seeds=(5, 6)), seeds=(5, 6)))
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
    a, b = run(claim("a.b", YES, 0.5)), run(claim("a.b", YES, 0.65))
    (found,) = compare(a, b).claims
    assert ("threshold of a.b", "0.5", "0.65") in what(compare(a, b))
    assert (found.change, found.outcome) == (0, Outcome.WORSE)  # inconclusive, though the effect is the same
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
    assert (judged.finetuned_a, judged.finetuned_b, judged.verdict_changed) == ("shortcut", "shortcut", True)
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
    assert found.outcome is Outcome.CHANGED and not found.verdict_changed  # only evidence moved
    (tool,) = found.evidence
    assert (tool.seeds, tool.differences, tool.difference) == ((1,), pytest.approx((-0.1,)), pytest.approx(-0.1))
    (plain,) = compare(judged_as(0.5, {}), judged_as(0.55, {})).verdicts
    assert (plain.evidence[0].differences, plain.evidence[0].difference) == ((), pytest.approx(0.05))


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
        ((0.60, 0.64), "margin:-0.05", False),
        ((0.50, 0.64), "margin:-0.05", True),
        ((0.60, 0.64), "margin:-0.02", True),
        ((0.60, 0.69), "margin:0", True),
        ((0.70, 0.70), "margin:0", False),
        ((0.50, 0.64), "status", False),
        ((0.40, 0.70), "status", True),
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
        assert one.change is None or one.change == pytest.approx(-(other.change or 0))
        assert (one.ci is None) is (other.ci is None)
        assert one.ci is None or other.ci is None or one.ci == pytest.approx((-other.ci[1], -other.ci[0]))
    for left, right in zip(there.verdicts, back.verdicts, strict=True):
        assert (left.id, SWAPPED.get(left.outcome, left.outcome)) == (right.id, right.outcome)
        assert (left.verdict_a, left.verdict_b) == (right.verdict_b, right.verdict_a)


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
