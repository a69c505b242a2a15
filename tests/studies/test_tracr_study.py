"""The Tracr experiments as steps: which strings are trained on and looked at, and which models share what."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from tiny_tracr import TINY, counter, largest

from capbench.measure.accuracy import sample
from capbench.pipeline.steps import Compile, FineTune, Revive
from capbench.studies.tracr.study import TracrCounter, TracrMax, TracrStudy

STUDIES: list[TracrStudy] = [counter(), largest()]
both = pytest.mark.parametrize("study", STUDIES, ids=["counter", "max"])


def answers(study: TracrStudy, operand: Any, *, c_te: float | None, seed: int = 0, **more: Any) -> Any:
    task = study.evaluation(operand, c_te=c_te, **more)
    batch = sample(task, 300, seed)
    return batch.tokens, batch.targets[:, task.answer_pos]


@pytest.mark.parametrize(
    "study, model, task",
    [
        (counter(), "count-9", "tracr count a to b"),
        (largest(), "kth-largest-8", "tracr kth largest 5 to 7"),
    ],
)
def test_a_study_has_names_and_a_protocol(study: TracrStudy, model: str, task: str) -> None:
    assert (study.model_name, study.task_name) == (model, task)
    assert study.protocol({"c_tr": 1, "lr": "small"}) == {"c_tr": 1, "lr": "small", "eta": 1e-3, "steps": 30}
    assert study.protocol({"c_tr": 1}) == {"c_tr": 1}
    assert study.protocol({}) == {}


@both
def test_both_operands_are_asked_for_on_the_same_strings(study: TracrStudy) -> None:
    for c_te in (0, 1, None):
        (tokens, old), (same, new) = (answers(study, operand, c_te=c_te) for operand in (study.o_pt, study.o_ft))
        if c_te is not None:
            assert tokens.equal(same), c_te
        assert not old.equal(new)
    tasks = {w.name: sample(w.task, 32, w.seed) for w in study.finetuned(0, c_tr=0.5, lr="small").watch}
    assert list(tasks) == [f"{o}, C_Te {c}" for o in ("O_PT", "O_FT") for c in (0, 1)]
    for c_te in (0, 1):
        assert tasks[f"O_PT, C_Te {c_te}"].tokens.equal(tasks[f"O_FT, C_Te {c_te}"].tokens)


@both
def test_the_correlation_is_carried_by_all_strings_or_by_none(study: TracrStudy) -> None:
    q = {"count": 1, "kth_largest": TINY.max_offset}[study.program]
    for c_te, share in ((0, 0.0), (1, 1.0)):
        (_, old), (_, new) = (answers(study, operand, c_te=c_te) for operand in (study.o_pt, study.o_ft))
        assert (new - old == q).float().mean().item() == share


@both
def test_training_selection_and_evaluation_share_no_string(study: TracrStudy) -> None:
    tuned, revived = study.finetuned(0, c_tr=0.5, lr="small"), study.revival(study.never(0), 0, lr="small")
    target: Any = tuned.task.target
    tasks: dict[str, list[Any]] = {
        "train": [target, tuned.task.retain, tuned.task.forget, revived.task],
        "select": [study.evaluation(study.o_pt, c_te=0, split="select")],
        "evaluate": [*(w.task for w in tuned.watch), revived.watch.task, study.evaluation(study.o_ft, c_te=1)],
    }
    assert all(task.split == split for split, those in tasks.items() for task in those)
    seen = {
        split: {tuple(row) for t in those for row in sample(t, 200, 0).tokens.tolist()}
        for split, those in tasks.items()
    }
    assert all(not one & other for one, other in itertools.combinations(seen.values(), 2))


@both
def test_fine_tuning_asks_for_the_new_operand_and_reviving_for_the_old_one(study: TracrStudy) -> None:
    tuned, revived = study.finetuned(0, c_tr=0.5, lr="small"), study.revival(study.never(0), 0, lr="small")
    target: Any = tuned.task.target
    assert target == study.strings(study.o_ft, target.correlation, "train") and target.correlation.rate == 0.5
    old = study.strings(study.o_pt, None, "train")
    assert tuned.task.retain == tuned.task.forget == revived.task == old
    assert revived.watch.task == study.evaluation(study.o_pt, c_te=0) and revived.goal == TINY.goal
    assert (tuned.train.steps, revived.train.steps) == (30, 20) and tuned.train.optimizer == "sgd"
    assert (tuned.train.lr, tuned.watch_every, revived.watch_every) == (1e-3, 1, 10)


@both
def test_models_share_what_they_have_in_common_and_nothing_else(study: TracrStudy) -> None:
    assert study.base(0).start == study.base(1).start == study.compiled(study.o_pt)  # compiled once for all seeds
    assert study.never(0).start == study.compiled(study.o_ft)
    assert study.base(0).scale == study.never(0).scale == TINY.noise
    seeds = [model.seed for n in (0, 1) for model in (study.base(n), study.never(n))]
    assert len(set(seeds)) == 4
    steps: list[FineTune | Revive] = []
    for seed, c_tr, lr in itertools.product((0, 1), (0.0, 1.0), ("small", "medium")):
        tuned = study.finetuned(seed, c_tr=c_tr, lr=lr)
        assert tuned.base == study.base(seed)
        steps += [tuned, study.revival(tuned, seed, lr="small")]
    assert len({step.key for step in steps}) == len(steps) == 16
    reft, scrft = (
        study.revival(start, 0, lr="small") for start in (study.finetuned(0, c_tr=1.0, lr="small"), study.never(0))
    )
    assert dataclasses.replace(reft, start=scrft.start) == scrft  # the same budget, data and evaluation


@both
def test_the_compiled_program_reads_the_task_s_strings(study: TracrStudy) -> None:
    task = study.evaluation(study.o_pt, c_te=0)
    for operand in (study.o_pt, study.o_ft):
        step = study.compiled(operand)
        assert isinstance(step, Compile) and step.arguments == (operand,)
        assert tuple(sorted({*step.vocabulary, step.bos, step.pad})) == task.vocabulary
        assert step.max_seq_len + 1 == task.seq_len


@both
def test_the_twin_is_the_model_compiled_for_the_new_operand_after_the_same_fine_tuning(study: TracrStudy) -> None:
    case: dict[str, Any] = {"c_tr": 0.5, "lr": "small"}
    model, found = study.finetuned(0, **case), study.twin(0, **case)
    assert found.base == study.never(0)
    assert found.task.retain == study.strings(study.o_ft, None, "train")  # replay would teach it O_PT otherwise
    same_task = dataclasses.replace(found.task, retain=model.task.retain)
    assert dataclasses.replace(found, base=model.base, task=same_task) == model


def test_without_a_method_there_are_base_models_only() -> None:
    for study in (TracrCounter(preset=TINY), TracrMax(preset=TINY)):
        assert study.base(0).key == dataclasses.replace(study, method=STUDIES[0].method).base(0).key
        with pytest.raises(ValueError, match="no fine-tuning method"):
            study.finetuned(0, c_tr=1.0, lr="small")
