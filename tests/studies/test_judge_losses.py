"""What else a method broke, and how a test of a claim ends: requirements, destroyed models, no verdict that nobody decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from fake_judge import CASE, GAIN, PASSES, STUDY, FakeLab, gives, judge, needs
from tiny import study

from capbench.pipeline.steps import Step
from capbench.results import Measurement, Status
from capbench.studies.judge import InvalidClaimError, Judge
from capbench.studies.lab import Bench
from capbench.verdicts.claims import at_least
from capbench.verdicts.tools import Toolbox


def others(bench: Bench, base: Any, tuned: Any) -> Iterable[Measurement]:
    """A reading of collateral damage that finds everything lost on the first `LOST[0]` seeds."""
    for name, value in (("before", 1.0), ("others", 0.1 if bench.seed < LOST[0] else 0.8)):
        yield Measurement(name=f"tuned.{name}.T", value=value, unit="accuracy", n=1, seed=bench.seed)


LOST = [0]
TOOLBOX = Toolbox(behaviour=("tuned.asked",), collateral=others)


def of_fine_tuned(lost: int, *, asked: float = 0.0, role: str = "tuned") -> Judge:
    LOST[0] = lost
    own = dataclasses.replace(study("full"), toolbox=TOOLBOX)
    steps = {seed: {role: own.finetuned(seed, prior="low", c_tr=1, lr="small")} for seed in (0, 1, 2)}
    j = judge(study=own, steps=steps)
    j.measure((gives({f"{role}.asked": lambda _: asked, "gain": lambda seed: 0.5 + seed / 4}), []))
    j.decide(at_least(j["gain"], 0.1, "gain"))
    return j


@pytest.mark.parametrize("role", ["tuned", "tuned_low"])
def test_collateral_damage_is_measured_of_every_fine_tuned_model_by_itself(role: str) -> None:
    found = [m for m in of_fine_tuned(0, role=role).record().measurements if m.unit == "accuracy"]
    assert [(m.name, m.seed) for m in found] == [(f"{role}.{n}.T", s) for s in (0, 1, 2) for n in ("before", "others")]


def test_a_twin_is_a_control_whose_own_damage_nobody_asks_about() -> None:
    found = of_fine_tuned(3, role="twin").record()
    assert [m for m in found.measurements if m.unit == "accuracy"] == [] and found.verdict.status is Status.SUPPORTED


def test_measuring_twice_or_once_more_measures_collateral_damage_once() -> None:
    j = of_fine_tuned(0)
    j.measure((GAIN, []))
    assert sum(m.name == "tuned.others.T" for m in j.record().measurements) == 3
    j.look_again(j.look, {})
    j.measure((GAIN, []))
    assert sum(m.name == "tuned.others.T" for m in j.record().measurements) == 3


def may_lose(*, metas: Mapping[str, Any] | None = None, **changes: Any) -> Judge:
    """A judge with another fine-tuned model, for a lost behaviour alone. metas: that model's on the second seed."""
    LOST[0] = 0
    own = dataclasses.replace(study("full"), toolbox=TOOLBOX)
    steps = {seed: {"tuned": own.finetuned(seed, prior="low", c_tr=1, lr="small")} for seed in (0, 1)}
    more = {s: {**steps[s], "tuned_high": own.finetuned(s, prior="high", c_tr=1, lr="small")} for s in steps}
    lab = FakeLab({more[1]["tuned_high"].key: metas or {}})
    return judge(study=own, steps=steps, if_lost=more, lab=lab, **changes)


def measure(j: Judge, behaviour: float) -> None:
    j.measure((gives({"tuned.asked": lambda _: behaviour}), []), where_lost=[(GAIN, ["tuned_high"])])


def roles(j: Judge) -> set[str]:
    return {role.partition("/")[0] for role in j.record().artefacts}


def test_models_for_a_lost_behaviour_are_made_and_measured_as_others_where_it_is_lost() -> None:
    asked: list[list[str]] = []

    def make(steps: Mapping[int, Mapping[str, Step]]) -> str:
        asked.append([f"{name}/{seed}" for seed, by_name in steps.items() for name in by_name])
        return ""

    measure(j := may_lose(make=make, metas={"diverged": True}), 0.9)
    assert asked == [] and roles(j) == {"tuned"} and j.models.keys() == {"tuned", "tuned_high"}
    measure(j := may_lose(make=make), 0.89)
    assert asked == [["tuned_high/0", "tuned_high/1"]] and roles(j) == {"tuned", "tuned_high"}
    of_each = [f"{name}.{what}" for name in ("tuned", "tuned_high") for what in ("before.T", "others.T")]
    assert [m.name for m in j.measurements if m.seed == 1] == ["tuned.asked", *of_each, "gain"]
    measure(j, 0.89)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"metas": {"diverged": True}}, r"seed 1: training diverged \('tuned_high', step 0\)"),
        ({"make": lambda steps: "it failed"}, "^it failed$"),
    ],
)
def test_where_they_cannot_be_had_nothing_was_measured(changes: Any, why: str) -> None:
    j = may_lose(**changes)
    with pytest.raises(InvalidClaimError, match=why):
        measure(j, 0.0)
    assert j.measurements == () and roles(j) == {"tuned", "tuned_high"}


@pytest.mark.parametrize("role", ["tuned", "tuned_low"])
def test_a_claim_about_a_destroyed_model_is_invalid(role: str) -> None:
    found = of_fine_tuned(3, role=role).record().verdict
    assert found.status is Status.INVALID
    assert found.reason.startswith(
        f"the fine-tuned model is destroyed on every seed: seed 0: '{role}' answers O_PT with"
    )
    assert found.reason.endswith("T 0.10 of the base model's accuracy")


def test_a_claim_about_a_model_that_is_destroyed_on_some_seeds_is_inconclusive() -> None:
    found = of_fine_tuned(1).record().verdict
    assert (found.status, found.effect) == (Status.INCONCLUSIVE, 0.75)
    assert found.reason.startswith("the fine-tuned model is destroyed on 1 of 3 seeds: seed 0: ")


def test_a_model_that_still_answers_is_not_destroyed() -> None:
    assert of_fine_tuned(3, asked=1.0).record().verdict.status is Status.SUPPORTED
    assert of_fine_tuned(0).record().verdict.status is Status.SUPPORTED


def test_a_requirement_that_fails_ends_the_test_with_its_reason() -> None:
    j = judge()
    j.require(True, "never said")
    with pytest.raises(InvalidClaimError, match=r"^the base model never learnt it$"):
        j.require(False, "the base model never learnt it")


def test_a_test_that_decided_nothing_is_invalid() -> None:
    j = judge()
    j.measure((GAIN, ["one"]))
    j.control("random neurons", [0.0], high=0.1)
    found = j.record()
    assert (found.verdict.status, found.verdict.reason) == (Status.INVALID, "the test ended without a verdict")
    assert len(found.measurements) == 3


def test_a_verdict_can_be_taken_back() -> None:
    j = judge()
    j.decide(PASSES)
    j.invalidate("the test raised ZeroDivisionError")
    found = j.record().verdict
    assert (found.status, found.reason) == (Status.INVALID, "the test raised ZeroDivisionError")


def test_the_record_says_everything_about_the_test() -> None:
    j = judge(seeds=(0, 1))
    j.measure((GAIN, ["one"]))
    j.decide(at_least(j["gain"], 0.25, "gain"))
    found = j.record()
    assert found.id == "wrapper.pruning[prior=low,c_tr=1,lr=small]"
    assert (found.source, found.statement, found.nodeid) == ("Fig. 7", "Pruning restores.", "suites/test_x.py::test")
    assert (found.model, found.task, found.method) == ("gpt-1x16", "pcfg counter a to b", "full")
    assert found.protocol == {"prior": "low", "c_tr": 1, "lr": "small", "eta": 1e-3, "steps": 3}
    assert (found.verdict.per_seed, found.seeds) == ((0.5, 0.75), (0, 1))
    assert [(m.name, m.seed, m.value) for m in found.measurements] == [("gain", 0, 0.5), ("gain", 1, 0.75)]
    assert found.artefacts == {
        f"{name}/{seed}": step.key for seed in (0, 1) for name, step in needs(STUDY, seed, CASE).items()
    }
    assert found.seconds >= 0
