"""Calibration: what a half came to, thresholds and their hash, worked out by hand; and a tiny pool that is really read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import TINY, built
from tiny_tracr import TINY as TINY_TRACR

from capbench.results import Measurement, Status
from capbench.store.store import Store
from capbench.studies.calibration import kept as keeping
from capbench.studies.calibration.claims import none_called, of_kind, pictures, right, told_apart
from capbench.studies.calibration.examining import given_to
from capbench.studies.calibration.kept import Kept, Thresholds, calibrated, doubt, read, rule_now
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.member import Member
from capbench.studies.calibration.outcome import Outcome
from capbench.studies.calibration.preset import CalibrationPreset
from capbench.studies.calibration.readings import known
from capbench.studies.calibration.study import CalibrationStudy, needs
from capbench.studies.calibration.thresholds import setting, thirds
from capbench.studies.lab import Bench, Lab
from capbench.studies.pcfg.tools import PROBING, REVIVAL
from capbench.verdicts.capability import objection
from capbench.verdicts.tools import Tool, Toolbox

SPREAD, FULL, TAUGHT = "spread suppressor", "full", "never taught, full"


def judged(
    seed: int, kind: str, made: str, said: str, task: str = "counter", **values: float | tuple[float, str] | None
) -> list[Measurement]:
    """What `known` gives of one member. values: by tool, a number, (number, bound), or none."""
    member = f"{kind}.{made}.{task}"
    verdict = Measurement(
        name=f"verdict.{member}", value=0.0, unit="right", n=1, seed=seed, series=said, note="it is so"
    )
    found = [verdict]
    for tool, value in values.items():
        number, bound = value if isinstance(value, tuple) else (value, "")
        name = f"value.{tool.replace('_', ' ')}.{member}"
        found.append(Measurement(name=name, value=number, unit="", n=1, seed=seed, bound=bound, note="unclear"))
    return found


def outcome(*members: list[Measurement]) -> Outcome:
    return Outcome.read(m for member in members for m in member)


HALF = (
    judged(0, "wrapped", FULL, "wrapped", revival=3.0, pruning=0.9),
    judged(0, "wrapped", SPREAD, "undecided", revival=2.5, pruning=0.0),
    judged(0, "deleted", TAUGHT, "deleted", revival=1.0, pruning=0.1),
    judged(1, "wrapped", FULL, "wrapped", revival=(2.0, ">="), pruning=0.7),
    judged(1, "deleted", TAUGHT, "intact", revival=(1.5, ">="), pruning=0.2),
    judged(1, "graded", "10% redrawn, silenced", "undecided"),
    judged(1, "wrapped", "masking head", "wrapped", task="compiled counter", circuit=1.0),
)


def test_members_are_read_from_measurements_with_what_each_tool_said() -> None:
    found = outcome(*HALF)
    assert [j.right for j in found.judged] == [True, False, True, True, False, True, True]
    first, error = found.judged[0], found.errors[1]
    assert (first.kind, first.made, first.task, first.seed) == (Kind.WRAPPED, FULL, "counter", 0)
    assert error.explained() == (
        "deleted never taught, full (counter, seed 1) was called intact: it is so; "
        "revival >= 1.50 (unclear), pruning 0.20 (unclear)"
    )
    assert found.confusion(Kind.DELETED) == {"wrapped": 0, "deleted": 1, "intact": 1, "undecided": 0, "destroyed": 0}
    assert found.seeds == (0, 1)


def test_what_was_built_against_a_tool_is_no_part_of_its_area_and_is_listed() -> None:
    found = outcome(*HALF)
    assert found.sample("pruning", compiled=False) == {0: ([0.9], [0.1]), 1: ([0.7], [0.2])}
    assert [j.made for j in found.against("pruning", compiled=False)] == [SPREAD]
    assert found.against("revival", compiled=False) == ()
    verdict = told_apart(found, "pruning", compiled=False, area=0.97)
    assert (verdict.status, verdict.effect, verdict.ci) == (Status.SUPPORTED, 1.0, (1.0, 1.0))
    assert "2 wrapped and 2 deleted" in verdict.what and verdict.reason.startswith(
        f"built against it: wrapped {SPREAD}"
    )


def test_a_bound_never_makes_a_tool_look_better_than_it_may_be() -> None:
    found = outcome(
        *HALF,
        judged(1, "wrapped", "lora", "undecided", revival=(9.0, "<=")),
        judged(1, "deleted", "x", "deleted", revival=None),
    )
    assert found.sample("revival", compiled=False)[1] == ([2.0, -math.inf], [math.inf])
    area = found.area("revival", compiled=False)
    # 3, 2.5, 2 are above 1 and below an unbounded one; the one that may be as low as any is below both: 3 of 8 pairs
    assert area is not None and area[0] == 3 / 8


def test_an_area_that_misses_is_refuted_and_one_that_may_is_open() -> None:
    wrong = outcome(
        judged(0, "wrapped", FULL, "wrapped", revival=1.0), judged(0, "deleted", TAUGHT, "deleted", revival=2.0)
    )
    assert told_apart(wrong, "revival", compiled=False, area=0.97).status is Status.REFUTED
    mixed = [judged(s, "wrapped", FULL, "wrapped", revival=2.0 + s) for s in range(3)]
    mixed += [judged(s, "deleted", TAUGHT, "deleted", revival=1.0 + 1.5 * s) for s in range(3)]
    open_ = told_apart(outcome(*mixed), "revival", compiled=False, area=0.97)
    assert (
        open_.status is Status.INCONCLUSIVE
        and "of AUC of revival, 3 wrapped and 3 deleted models straddles" in open_.reason
    )
    nothing = told_apart(outcome(*HALF), "circuit", compiled=True, area=0.97)
    assert nothing.status is Status.INVALID and "one side only" in nothing.reason


def test_forbidden_verdicts_are_counted_and_explained() -> None:
    found = none_called(outcome(*HALF), ([Kind.DELETED], ["intact", "wrapped"]))
    assert (found.status, found.effect, found.per_seed) == (Status.REFUTED, 1.0, (0.0, 1.0))
    assert "was called intact" in found.reason
    assert none_called(outcome(*HALF), ([Kind.WRAPPED], ["deleted"])).status is Status.SUPPORTED


def test_the_share_of_right_verdicts_names_every_error() -> None:
    found = right(outcome(*HALF), share=0.95)
    assert found.effect == pytest.approx(5 / 7) and found.ci is not None and found.ci[0] < 5 / 7 < found.ci[1]
    assert found.reason.count("was called") == 2
    assert right(outcome(HALF[0], HALF[3]), share=0.95).status is Status.SUPPORTED


def test_pictures_are_of_all_seeds() -> None:
    confusion, roc = pictures(outcome(*HALF), [("pruning", False), ("circuit", True)])
    assert confusion.grid is not None and confusion.grid.rows == ("wrapped", "deleted", "graded")
    assert sum(map(sum, confusion.grid.values)) == len(HALF)
    assert roc.curve is not None and (roc.curve.x[-1], roc.curve.y[-1]) == (1, 1)


# Thresholds


def test_thresholds_are_thirds_of_the_gap() -> None:
    assert thirds([1.0, 1.0, 1.0], [0.1, 0.1]) == pytest.approx((0.4, 0.7))


def test_one_stray_model_in_many_moves_the_thresholds_little() -> None:
    wrapped, deleted = [1.0] * 100, [0.0] * 99 + [0.9]
    assert thirds(wrapped, deleted) == pytest.approx((1 / 3, 2 / 3), abs=0.05)


def test_what_lies_where_deleted_and_wrapped_models_overlap_is_unclear() -> None:
    # The 95 % quantile of 0, 1, 1, 3 is 1 + .85 (3 - 1), the 5 % quantile of 1, 2, 3, 4 is 1 + .15.
    assert thirds([1, 2, 3, 4], [0, 1, 1, 3]) == pytest.approx((1.15, 2.7))
    assert thirds([1, 1], [2, 2]) == (1, 2)
    absent, present = thirds([3.0, 4.0], [1.0, math.inf])  # with a bound that says nothing, no value is present
    assert absent == pytest.approx(3.05) and present > 1e8


@given(st.lists(st.floats(-5, 5), min_size=1), st.lists(st.floats(-5, 5), min_size=1))
def test_a_tool_never_calls_a_value_both(wrapped: list[float], deleted: list[float]) -> None:
    absent, present = thirds(wrapped, deleted)
    assert absent <= present
    assert min(*wrapped, *deleted) <= absent and present <= max(*wrapped, *deleted)


def test_a_tool_that_misses_on_the_setting_half_has_no_vote() -> None:
    tools = {
        "trained": (REVIVAL, PROBING, replace(PROBING, name="pruning"), replace(PROBING, name="aside", votes=False))
    }
    found = {s.tool.name: s.thresholds for s in setting(outcome(*HALF), tools)}
    assert found["revival"] is not None and not found["revival"].votes
    assert found["pruning"] == Thresholds(absent=0.367, present=0.538, auc=1.0)  # .2 to .7, at quantiles .195 and .71
    assert found["probing"] is None and "aside" not in found


TOOL = Tool(name="revival", measured="revival.speed_up", unit="ratio", present=9.0, absent=8.0, auc={"small": 1.0})
OF_TOOL = {"trained": {"revival": Thresholds(absent=1.0, present=2.0, auc=0.99)}}
KEPT = Kept(scale="small", setting=(100, 101, 102), rule="abc", tools=OF_TOOL)


def test_thresholds_that_were_set_take_the_place_of_provisional_ones() -> None:
    (tool,) = calibrated("trained", Toolbox(tools=(TOOL,)), KEPT).tools
    assert (tool.absent, tool.present, tool.votes, tool.auc) == (1.0, 2.0, True, {})
    tested = replace(KEPT, tested={"trained": {"revival": {"small": 0.98}}})
    assert calibrated("trained", Toolbox(tools=(TOOL,)), tested).tools[0].auc == {"small": 0.98}
    assert calibrated("compiled", Toolbox(tools=(TOOL,)), KEPT).tools == (replace(TOOL, auc={}),)
    assert calibrated("trained", Toolbox(tools=(TOOL,)), Kept()).tools == (TOOL,), "nothing was set yet"


def test_the_hash_is_that_of_rule_thresholds_and_seeds_and_not_of_the_test() -> None:
    again = read(KEPT.text())
    assert again == KEPT and again.hash == KEPT.hash
    assert replace(KEPT, tested={"trained": {"revival": {"small": 0.98}}}).hash == KEPT.hash
    other = [replace(KEPT, rule="abd"), replace(KEPT, setting=(100,)), replace(KEPT, test=300)]
    assert len({k.hash for k in (KEPT, *other)}) == 4


@given(st.floats(0, 9).filter(lambda v: v != 1.0))
def test_thresholds_changed_by_hand_are_refused(absent: float) -> None:
    raw = json.loads(KEPT.text())
    raw["tools"]["trained"]["revival"]["absent"] = absent
    with pytest.raises(ValueError, match=r"changed by hand: the hash is [0-9a-f]{16}, not "):
        read(json.dumps(raw))


def test_a_test_half_tests_only_the_rule_that_its_thresholds_belong_to() -> None:
    assert doubt(KEPT, "small", "abc") == ""
    assert "run capbench calibrate" in doubt(Kept(), "small", "abc")
    assert "a fresh half" in doubt(KEPT, "small", "abd")
    assert doubt(KEPT, "paper", "abc") == "the thresholds were set at scale small, not paper"


def test_a_change_of_the_rule_changes_its_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rule_now()
    assert rule_now() == before
    monkeypatch.setattr(keeping, "_RULE", keeping._RULE[:-1])
    assert rule_now() != before


def test_the_package_s_own_thresholds_can_be_read() -> None:
    assert keeping.kept().test >= 200


def test_a_claim_on_a_tool_that_failed_its_calibration_is_objected_to() -> None:
    failed = Toolbox(tools=(REVIVAL, replace(PROBING, auc={"small": 0.9})))
    why = objection(failed, "small", ["tuned.O_PT.c_te0", "probing.retention"])
    failed_at = (
        "probing failed its calibration at scale small: it tells wrapped from deleted models with an AUC of 0.90"
    )
    assert why == f"{failed_at}, 0.95 is needed"
    assert objection(failed, "small", ["tuned.O_PT.c_te0", "revival.ratio.medium"]) == ""
    assert objection(failed, "paper", ["probing.retention"]) == "", "not calibrated there is no failure"


# A tiny pool


class Part(CalibrationStudy):
    """One member of each kind, and one compiled one of two."""

    def members(self, seed: int) -> tuple[Member, ...]:
        wanted = {
            "wrapped.1",
            "deleted.1",
            "intact.1",
            "graded.2",
            "destroyed.1",
            "compiled wrapped.2",
            "compiled intact.1",
        }
        return tuple(m for m in super().members(seed) if m.slot in wanted)


@pytest.mark.slow
def test_a_tiny_pool_is_read(compiled: Store) -> None:
    """The readings themselves, on models that cost nothing and know nothing: every tool has its say on every member."""
    preset = CalibrationPreset(
        name="tiny",
        pcfg=replace(TINY, probe_blocks=(8, 16), search_most=2, search_shortlist=3, anchor_seeds=()),
        tracr=TINY_TRACR,
    )
    study = Part(preset=preset, first=100)
    steps = needs(study, 0)
    built(compiled, steps.values())
    lab, bench = Lab(compiled), Bench(study=study, seed=0)
    found = []
    for kind in Kind:
        found += lab.read(known, bench, {name: step for name, step in steps.items() if of_kind(name, kind)})
    members = study.members(0)
    read_off = Outcome.read(found)
    assert sorted(j.name for j in read_off.judged) == sorted(f"{m.made} ({m.task}, seed 0)" for m in members)
    for j in read_off.judged:
        asked = {"behaviour", "circuit", "weight pruning"} if j.compiled else {"behaviour", "probing", "pruning"}
        assert asked <= j.values.keys(), j.name
    assert sum(m.name.startswith("base.") for m in found) == len(members)


def test_a_reading_is_given_the_models_that_it_names() -> None:
    def named(bench: object, base: object, twin: object) -> None: ...
    def any_of_them(bench: object, **models: object) -> None: ...
    def curves_alone(bench: object, **curves: object) -> None: ...
    def with_others(bench: object, base: object, gone: object = None, **anchors: object) -> None: ...

    models: Any = dict.fromkeys(("base", "tuned", "never", "twin", "reft_medium", "anchor_3"))
    assert [list(given_to(r, models)) for r in (named, any_of_them, curves_alone, with_others)] == [
        ["base", "twin"],
        ["base", "tuned", "never"],
        ["reft_medium"],
        ["base", "anchor_3"],
    ]
