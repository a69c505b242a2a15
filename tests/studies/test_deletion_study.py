"""The Counter under conditions: each case's models are what its conditions say, and its controls are not what it judges."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tiny import TINY, built

from capbench.errors import UsageError
from capbench.methods.specs.registry import find
from capbench.pipeline.steps import Distil, Edit, FineTune, Initialise, Pretrain, Step
from capbench.store.store import Store
from capbench.studies.collateral import measured
from capbench.studies.deletion.claims import needed_for_a_state, tuned
from capbench.studies.deletion.study import DeletionCounter, another
from capbench.studies.judge import Case
from capbench.studies.lab import Bench, Lab
from capbench.studies.pcfg.readings import collateral
from capbench.studies.pcfg.study import PcfgCounter
from capbench.tasks.answered import Answered
from capbench.tasks.mixture import Mixture
from capbench.verdicts.tools import Toolbox

GIVEN: dict[str, Any] = {"preset": TINY, "method": find("full")}
STUDY = DeletionCounter(**GIVEN)
AT: dict[str, Any] = {"prior": "low", "c_tr": 1, "lr": "medium"}


def finetuned(**conditions: Any) -> FineTune:
    found = STUDY.finetuned(0, **AT, **conditions)
    assert isinstance(found, FineTune)
    return found


def test_without_conditions_it_is_the_paper_s_counter() -> None:
    paper = PcfgCounter(**GIVEN).finetuned(0, **AT)
    assert finetuned().key == paper.key
    assert STUDY.task_name != PcfgCounter(**GIVEN).task_name


def test_strength_is_that_of_fine_tuning_and_of_nothing_else() -> None:
    plain, strong = finetuned(), finetuned(rate=10, times=3, decay=0.5)
    assert strong.base == plain.base and strong.task == plain.task
    assert strong.train == replace(plain.train, lr=10 * plain.train.lr, steps=3 * plain.train.steps, weight_decay=0.5)
    assert STUDY.protocol({**AT, "rate": 10, "times": 3})["eta"] == pytest.approx(10 * TINY.rates["medium"])
    assert STUDY.protocol({**AT, "rate": 10, "times": 3})["steps"] == 3 * TINY.finetune_steps


def test_other_answers_are_those_of_the_target_alone() -> None:
    plain, random = finetuned().task, finetuned(answers="random").task
    assert random.target == Answered(task=plain.target) and random.forget == plain.forget
    constant = finetuned(answers="constant").task.target
    assert isinstance(constant, Answered) and constant.constant is not None


def test_a_further_task_comes_after_the_first() -> None:
    found = finetuned(then="c")
    assert isinstance(found.base, FineTune) and found.base.key == finetuned().key
    assert found.task.target == STUDY.evaluation("c", c_te=None, split="train")


def test_another_method_is_that_of_the_twin_too() -> None:
    models = needed_for_a_state(STUDY, 0, Case(by="npo", **AT))
    for role in ("tuned", "twin"):
        step = models[role]
        assert isinstance(step, FineTune) and step.method.name == "npo"


def test_what_is_distilled_never_saw_its_teacher_s_weights_and_its_controls_are_of_another_initialisation() -> None:
    models = needed_for_a_state(STUDY, 0, Case(taught="distilled", **AT))
    student, never = models["tuned"], models["never"]
    assert isinstance(student, Distil) and student.teacher.key == finetuned().key
    assert student.start == STUDY.initialised(another(0)) and isinstance(student.task, Mixture)
    assert isinstance(never, Pretrain) and never.start != student.start
    assert isinstance(models["twin"], FineTune) and models["base"] == STUDY.base(0, prior="low")


def test_with_noise_the_student_begins_as_its_teacher() -> None:
    student = STUDY.finetuned(0, **AT, taught="distilled", noise=0.4)
    assert isinstance(student, Distil) and isinstance(student.start, Edit)
    assert student.start.start == student.teacher and student.start.arguments == {"share": 0.4}


def test_what_is_retrained_was_never_taught_and_is_of_another_seed() -> None:
    found = tuned(STUDY, 0, Case(taught="retrained", **AT))
    assert isinstance(found["tuned"], FineTune) and isinstance(found["base"], Pretrain)
    assert found["tuned"].base == STUDY.base(another(0), prior="others") != found["base"]


def starts(steps: dict[str, Step]) -> set[Initialise]:
    found = set()
    for step in steps.values():
        while step.parents:
            step = step.parents[0]
        assert isinstance(step, Initialise)
        found.add(step)
    return found


def test_all_models_of_a_case_have_its_sizes() -> None:
    models = dict(needed_for_a_state(STUDY, 0, Case(width=2, blocks=1, taught="distilled", **AT)))
    sizes = {(start.model.d_model, start.model.n_blocks) for start in starts(models)}  # type: ignore[attr-defined]
    assert sizes == {(2 * TINY.d_model, TINY.n_blocks + 1)}
    assert STUDY.protocol({**AT, "width": 2})["d_model"] == 2 * TINY.d_model


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"answers": "wrong"}, "answers=wrong: must be constant or random"),
        ({"taught": "copied"}, "taught=copied: must be distilled or retrained"),
        ({"then": "b"}, "then=b: must be a third operand: c"),
        ({"noise": 2}, "noise=2: must be a share, 0 to 1"),
        ({"noise": 0.5}, "noise=0.5: only what is distilled begins with noise; give taught=distilled, too"),
        ({"decay": -1}, "decay=-1: must be 0 or more"),
    ],
)
def test_a_condition_that_is_none_is_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        STUDY.finetuned(0, **AT, **wrong)


def test_sizes_that_leave_no_model_are_one_line() -> None:
    for case in ({"width": 0.01}, {"blocks": -TINY.n_blocks}):
        with pytest.raises(UsageError, match="leaves a model without dimensions or blocks"):
            STUDY.sized(case)


def test_what_else_broke_is_told_from_before_all_fine_tuning(tmp_path: Any) -> None:
    twice = finetuned(then="c")
    built(store := Store(tmp_path), [twice])
    study = replace(STUDY, toolbox=Toolbox(collateral=collateral))
    bench, lab = Bench(study=study, seed=0), Lab(store)
    found, once = ({m.name: m.value for m in measured(lab, bench, {"tuned": s})} for s in (twice, twice.base))
    before = {name: value for name, value in found.items() if ".before." in name}
    assert before and before == {name: value for name, value in once.items() if ".before." in name}
