"""How a test of a claim ends: values per seed, controls, requirements, and no verdict that nobody decided."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_example import record
from tiny import study

from capbench.errors import NoAnswerError
from capbench.pipeline.steps import Step
from capbench.results import Curve, Measurement, Status
from capbench.studies.attacks import readings_of_revival
from capbench.studies.judge import Case, Claim, InvalidClaimError, Judge, outcome_line
from capbench.studies.lab import Bench, Built, Reading
from capbench.studies.pcfg.study import PcfgCounter
from capbench.verdicts import looks
from capbench.verdicts.claims import at_least, at_most, invalid
from capbench.verdicts.tools import Toolbox

STUDY = study()
CASE = Case(prior="low", c_tr=1, lr="small")


def needs(study: PcfgCounter, seed: int, case: Case) -> Mapping[str, Step]:
    return {"one": study.initialised(seed), "two": study.initialised(seed + 100)}


class FakeLab:
    """Hands the steps' names to the reading, keeps nothing; `metas` by step key."""

    def __init__(self, metas: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.metas = metas or {}

    def built(self, step: Step) -> Any:
        return dataclasses.make_dataclass("Fake", ["meta"])(self.metas.get(step.key, {}))

    def read(self, reading: Reading, bench: Bench, steps: Mapping[str, Step]) -> tuple[Measurement, ...]:
        return tuple(reading(bench, **steps))


def judge(*, seeds: Iterable[int] = (0, 1, 2), lab: Any = None, **changes: Any) -> Judge:
    claim = Claim(id="wrapper.pruning", source="Fig. 7", needs=needs, statement="Pruning restores.")
    steps = {seed: needs(STUDY, seed, CASE) for seed in seeds}
    fields = {"claim": claim, "case": CASE, "nodeid": "suites/test_x.py::test", "method": "full", "study": STUDY}
    return Judge(**{**fields, "lab": lab or FakeLab(), "steps": steps, **changes})


def gives(
    values: Mapping[str, Callable[[int], float | None]], *, note: str = "", curve: Curve | None = None
) -> Reading:
    def reading(bench: Bench, **models: Built) -> Iterable[Measurement]:
        for name, value in values.items():
            v = value(bench.seed)
            yield Measurement(name=name, value=v, unit="", n=1, seed=bench.seed, note=note, curve=curve)

    return reading


GAIN = gives({"gain": lambda seed: 0.5 + seed / 4})

# ---- measuring


def test_a_quantity_has_one_value_per_seed_in_the_order_of_the_seeds() -> None:
    j = judge(seeds=(2, 0, 1))
    j.measure((GAIN, ["one"]), (gives({"cost": lambda seed: seed}), ["two"]))
    assert j["gain"] == [1.0, 0.5, 0.75]
    assert j["cost"] == [2, 0, 1]


def test_a_reading_is_given_the_models_it_names_of_its_own_seed_and_the_bench() -> None:
    calls: list[tuple[Bench, dict[str, Step]]] = []

    def reading(bench: Bench, **models: Any) -> list[Measurement]:
        calls.append((bench, models))
        return []

    j = judge(seeds=(0, 1))
    j.measure((reading, ["two"]), (reading, ["two", "one"]))
    assert [bench.seed for bench, _ in calls] == [0, 0, 1, 1]
    assert all(bench.study is STUDY for bench, _ in calls)
    assert [list(models) for _, models in calls] == [["two"], ["two", "one"]] * 2
    assert [models["two"].seed for _, models in calls] == [STUDY.initialised(s).seed for s in (100, 100, 101, 101)]


def test_the_measuring_is_what_is_timed() -> None:
    events: list[str] = []

    def timed(work: Callable[[], None]) -> None:
        events.append("before")
        work()
        events.append("after")

    def reading(bench: Bench, one: Any) -> list[Measurement]:
        events.append("reading")
        return []

    judge(seeds=(0,), timed=timed).measure((reading, ["one"]))
    assert events == ["before", "reading", "after"]


def test_a_model_that_answers_nan_makes_the_claim_invalid() -> None:
    def reading(bench: Bench, one: Any) -> list[Measurement]:
        raise NoAnswerError("its answers are NaN on 3 of 8 strings")

    with pytest.raises(
        InvalidClaimError, match=r"seed 0: a model answers NaN \('one'\): its answers are NaN on 3 of 8"
    ):
        judge().measure((reading, ["one"]))


def test_a_model_with_the_weights_of_its_base_is_measured_as_that() -> None:
    steps = {seed: needs(STUDY, seed, CASE) for seed in (0, 1)}
    metas = {steps[0]["one"].key: {"changed": True}, steps[1]["one"].key: {"changed": False}}
    j = judge(seeds=(0, 1), lab=FakeLab(metas))
    j.measure((GAIN, ["one"]))
    assert [(m.name, m.seed, m.value) for m in j._measurements if m.name != "gain"] == [("one.weights_changed", 1, 0.0)]


def test_a_quantity_without_a_value_on_some_seed_makes_the_claim_invalid() -> None:
    j = judge()
    j.measure((gives({"steps": lambda seed: None if seed else 25.0}, note="never in 400 steps"), ["one"]))
    with pytest.raises(InvalidClaimError, match=r"steps has no value for seeds \[1, 2\]: never in 400 steps"):
        j["steps"]
    j.measure((gives({"ratio": lambda seed: None}), ["one"]))
    with pytest.raises(InvalidClaimError, match=r"ratio has no value for seeds \[0, 1, 2\]: not measurable"):
        j["ratio"]


def test_zero_is_a_value() -> None:
    j = judge()
    j.measure((gives({"gain": lambda seed: 0.0}), ["one"]))
    assert j["gain"] == [0.0, 0.0, 0.0]


def test_a_quantity_that_no_reading_gave_is_a_mistake_of_the_suite() -> None:
    j = judge()
    j.measure((GAIN, ["one"]))
    with pytest.raises(KeyError, match=r"no reading gave 'gian' for seeds \[0, 1, 2\]"):
        j["gian"]
    curve = Curve(x=(0.0,), y=(1.0,), x_label="", y_label="")
    j.measure((gives({"pruning.curve": lambda seed: 1.0}, curve=curve), ["one"]))
    with pytest.raises(KeyError, match=r"pruning\.curve"):
        j["pruning.curve"]


def test_models_that_could_not_be_made_block_the_claim_before_anything_is_read() -> None:
    with pytest.raises(InvalidClaimError, match=r"^method 'mine.py:tune' failed$"):
        judge(blocked="method 'mine.py:tune' failed", lab=object()).measure((GAIN, ["one"]))


def test_a_training_that_diverged_blocks_the_claim_naming_seed_model_and_step() -> None:
    metas = {STUDY.initialised(101).key: {"diverged": True, "steps": 17}}
    j = judge(lab=FakeLab(metas))
    with pytest.raises(InvalidClaimError, match=r"seed 1: training diverged \('two', step 17\)"):
        j.measure((GAIN, ["one"]))  # a model of the claim, though this reading does not use it
    judge(lab=FakeLab({STUDY.initialised(101).key: {"diverged": False}})).measure((GAIN, ["one"]))


# ---- deciding

PASSES = at_least([0.7, 0.75, 0.8], 0.25, "gain")
FAILS = at_most([0.7, 0.75, 0.8], 0.25, "cost")


@pytest.mark.parametrize(
    ("values", "limits", "status", "said"),
    [
        ([0.1, 0.1], {"high": 0.1}, Status.SUPPORTED, ""),  # limits belong to what is allowed
        ([0.5, 0.6, 0.4], {"low": 0.25, "high": 0.75}, Status.SUPPORTED, ""),
        (
            [0.5, 0.6, 0.4],
            {"low": 0.8},
            Status.INVALID,
            "control failed: random neurons is 0.5 [0.252, 0.748], expected >= 0.8",
        ),
        (
            [0.5, 0.6, 0.4],
            {"low": 0.25, "high": 0.7},
            Status.INCONCLUSIVE,
            "control undecided: random neurons is 0.5 [0.252, 0.748], expected >= 0.25 and <= 0.7",
        ),
        (
            [1.0] * 5 + [0.0],
            {"low": 0.95},
            Status.INCONCLUSIVE,
            "control undecided: random neurons is 0.833 [0.405, 1.26]",
        ),
        ([0.2], {"high": 0.1}, Status.INVALID, "control failed: random neurons is 0.2, expected <= 0.1"),  # no interval
        ([0.1], {"high": 0.1}, Status.SUPPORTED, ""),
    ],
)
def test_a_control_decides_by_its_interval_over_seeds(
    values: list[float], limits: dict[str, float], status: Status, said: str
) -> None:
    """By hand: .5 ± 4.303 * .1 / sqrt(3); .8333 ± 2.571 * .4082 / sqrt(6). A claim whose control is open is open itself."""
    j = judge()
    j.control("random neurons", values, **limits)
    j.decide(PASSES)
    found = j.record()
    assert found.verdict.status is status
    assert found.verdict.reason.startswith(said)
    (control,) = found.controls
    assert (control.passed, control.undecided) == (status is Status.SUPPORTED, status is Status.INCONCLUSIVE)


@pytest.mark.parametrize(("verdict", "status"), [(FAILS, Status.INCONCLUSIVE), (invalid("no base"), Status.INVALID)])
def test_an_open_control_leaves_a_claim_open_but_makes_none_better(verdict: Any, status: Status) -> None:
    j = judge()
    j.control("random neurons", [0.0, 1.0], high=0.5)
    j.decide(verdict)
    found = j.record().verdict
    assert found.status is status
    assert (found.effect, found.margin) == (verdict.effect, verdict.margin)
    assert found.reason.endswith(verdict.reason)


def test_a_control_that_everything_hangs_on_ends_the_test_only_if_it_failed() -> None:
    j = judge()
    j.control("accuracy", [0.9, 1.0], low=0.8, otherwise="the base model does not know it")
    j.control("accuracy", [0.2, 0.3], high=0.8, otherwise="nothing to revive")
    with pytest.raises(
        InvalidClaimError, match=r"^nothing to revive: accuracy is 0\.95 \[0\.315, 1\.59\], expected <= 0\.2$"
    ):
        j.control("accuracy", [0.9, 1.0], high=0.2, otherwise="nothing to revive")
    assert len(j.record().controls) == 3


@given(
    st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6),
    st.floats(0.0, 1.0),
    st.integers(2, 4),
    st.sampled_from(["low", "high"]),
)
def test_more_seeds_that_agree_never_make_a_claim_invalid(
    values: list[float], limit: float, times: int, side: str
) -> None:
    """The same values again and again: a mean that is inside stays inside, however many seeds say so."""

    def status(values: list[float]) -> Status:
        j = judge()
        j.control("random neurons", values, **{side: limit})
        j.decide(PASSES)
        return j.record().verdict.status

    before, after = status(values), status(values * times)
    if before is Status.SUPPORTED:
        assert after is Status.SUPPORTED
    inside = fmean(values) >= limit if side == "low" else fmean(values) <= limit
    assert after is not Status.INVALID or not inside


def test_one_failed_control_among_several_is_enough() -> None:
    j = judge()
    j.control("first", [0.0], high=0.1)
    j.control("second", [0.5], high=0.1)
    j.control("third", [0.0, 0.2], high=0.1)  # open
    j.decide(PASSES)
    found = j.record()
    assert found.verdict.status is Status.INVALID
    assert "second" in found.verdict.reason
    assert [c.passed for c in found.controls] == [True, False, False]


@pytest.mark.parametrize(
    ("conditions", "status", "what"),
    [
        ((PASSES,), Status.SUPPORTED, "gain"),
        ((FAILS,), Status.REFUTED, "cost"),
        ((PASSES, FAILS), Status.REFUTED, "cost"),
        ((invalid("no base"), PASSES, FAILS), Status.INVALID, ""),
    ],
)
def test_all_conditions_must_hold(conditions: tuple[Any, ...], status: Status, what: str) -> None:
    j = judge()
    j.decide(*conditions)
    assert (j.record().verdict.status, j.record().verdict.what) == (status, what)


def test_a_judge_whose_models_could_not_be_made_has_none_and_says_why_when_it_measures() -> None:
    j = judge(seeds=(), blocked="method 'x' failed")
    assert j.models == {} and judge().models.keys() == {"one", "two"}
    with pytest.raises(InvalidClaimError, match=r"^method 'x' failed$"):
        j.measure(*readings_of_revival(j.models))


# ---- what else broke


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


# ---- more seeds


def looked_at(values: Sequence[float], threshold: float) -> Judge:
    """A claim on a quantity with these values, by seed, looked at until it is decided, as a test is run again and again."""
    j = judge(seeds=range(looks.SEEDS[0]), look=looks.look(0))
    while True:
        j.measure((gives({"gain": lambda seed: values[seed]}), ["one"]))
        j.control("the gain", j["gain"], low=-5)
        j.decide(at_least(j["gain"], threshold, "gain"))
        if not j.goes_on:
            return j
        number = j.look.number + 1
        more = range(len(j.steps), looks.SEEDS[number])
        j.look_again(looks.look(number), {seed: needs(STUDY, seed, CASE) for seed in more})


@pytest.mark.parametrize(
    ("values", "threshold", "seeds", "status"),
    [
        ([0.5, 0.52, 0.48], 0.2, 3, Status.SUPPORTED),
        ([0.5, 0.52, 0.48], 0.8, 3, Status.REFUTED),
        ([0.9, 0.1, *[0.5] * 6], 0.2, 8, Status.SUPPORTED),  # .5 ± 3.4 * .0756 at the third look
        ([0.9, 0.1] * 6, 0.5, 12, Status.INCONCLUSIVE),
    ],
)
def test_a_claim_is_looked_at_until_it_is_decided_and_tells_which_look_that_was(
    values: list[float], threshold: float, seeds: int, status: Status
) -> None:
    found = looked_at(values, threshold).record()
    assert (found.verdict.status, found.verdict.n_seeds, len(found.seeds)) == (status, seeds, seeds)
    assert len(found.measurements) == seeds and len(found.controls) == 1
    number = looks.SEEDS.index(seeds)
    assert found.verdict.alpha == looks.look(number).alpha
    assert found.verdict.how.endswith(looks.look(number).words)


def test_a_claim_that_is_not_to_be_looked_at_again_does_not_go_on() -> None:
    j = judge()
    j.decide(at_least([0.9, 0.1, 0.5], 0.5, "gain"))
    assert (j.record().verdict.status, j.goes_on) == (Status.INCONCLUSIVE, False)
    j = judge(look=looks.look(0))
    assert not j.goes_on  # nothing is decided
    j.invalidate("it failed")
    assert not j.goes_on


def test_further_models_that_cannot_be_made_block_the_claim() -> None:
    j = judge(look=looks.look(0))
    j.decide(at_least([0.9, 0.1, 0.5], 0.5, "gain"))
    j.look_again(looks.look(1), {}, blocked="method 'mine.py:tune' failed")
    with pytest.raises(InvalidClaimError, match=r"^method 'mine.py:tune' failed$"):
        j.measure((GAIN, ["one"]))


# ---- cases and the line for pytest


def test_a_case_is_read_by_attribute_and_as_a_test_id() -> None:
    assert (CASE.prior, CASE.c_tr, CASE.lr) == ("low", 1, "small")
    assert str(CASE) == repr(CASE) == "prior=low,c_tr=1,lr=small"
    assert CASE.parameters == {"prior": "low", "c_tr": 1, "lr": "small"}
    assert str(Case()) == ""


def test_a_parameter_that_a_case_has_not_is_named_with_those_it_has() -> None:
    with pytest.raises(AttributeError, match="this case has no 'rate'; it has prior, c_tr, lr"):
        _ = CASE.rate


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda case: pickle.loads(pickle.dumps(case))])
def test_a_case_can_be_copied_and_sent_to_another_process(copied: Callable[[Case], Case]) -> None:
    assert copied(CASE).parameters == CASE.parameters


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (PASSES, "wrapper.pruning[prior=low]: gain 0.75 [0.626, 0.874] >= 0.25: supported (margin +0.5)"),
        (invalid("no base"), "wrapper.pruning[prior=low]: invalid: no base"),
        (
            at_least([0.5], 0.25, "gain"),
            "wrapper.pruning[prior=low]: gain 0.5 >= 0.25: inconclusive (margin +0.25); one seed of gain, and no prior for its "
            "spread: no interval",
        ),
    ],
)
def test_the_outcome_is_one_line(verdict: Any, line: str) -> None:
    assert outcome_line(record(verdict=verdict)) == line
