"""What is compared with what, verdicts, and the gate that fails a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from runs_example import MAYBE, NO, PROTOCOL, YES, broken, claim, healthy, planted, regressions, run, verdict, what

from capbench.compare.gate import Gate, sentence
from capbench.compare.rows import Outcome
from capbench.compare.runs import compare
from capbench.compare.show import to_text
from capbench.errors import UsageError
from capbench.results import Collateral, CollateralState, Evidence, Measurement, Record, Results

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
