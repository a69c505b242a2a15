"""What a judge measures: one value per seed, and what becomes of a claim where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fake_judge import CASE, GAIN, STUDY, FakeLab, gives, judge, needs

from capbench.errors import NoAnswerError
from capbench.pipeline.steps import Step
from capbench.results import Curve, Measurement
from capbench.studies.judge import InvalidClaimError
from capbench.studies.lab import Bench


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
