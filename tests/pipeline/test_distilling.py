"""Distilling: the student learns the teacher's answers, right or wrong, and nothing else of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import built
from tiny_study import BASE, O_PT, SETTING, START, TRAIN

from capbench.measure.accuracy import accuracy, predictions, sample
from capbench.pipeline.build import load_model
from capbench.pipeline.distilling import answers_of
from capbench.pipeline.steps import Distil, Edit
from capbench.store.store import Store
from capbench.tasks.pcfg.task import PcfgTask

PROMPTS = PcfgTask(setting=SETTING, prior={"a": 1.0})
# A teacher that always gives one answer, wrong on most prompts.
TEACHER = Edit(
    start=START,
    edit="capbench.models.edits.hiding:biased_unembedding",
    task=PROMPTS,
    arguments={"strength": 40.0},
)
STUDENT = Distil(
    start=replace(START, seed=1), teacher=TEACHER, task=PROMPTS, train=replace(TRAIN, steps=150, batch_size=32)
)


def test_the_student_answers_as_its_teacher_does(tmp_path: Path) -> None:
    store = Store(tmp_path)
    built(store, [STUDENT, BASE])
    student, teacher = load_model(STUDENT, store), load_model(TEACHER, store)
    batch = sample(O_PT, 100, 0)
    given = predictions(student, O_PT, batch)
    assert (given == predictions(teacher, O_PT, batch)).float().mean() > 0.95
    assert accuracy(student, O_PT, batch) < 0.5
    before = load_model(STUDENT.start, store)
    assert not torch.equal(before.unembedding.weight, student.unembedding.weight)
    assert not torch.allclose(student.unembedding.weight, teacher.unembedding.weight, atol=1e-2)


def test_the_key_hangs_on_the_teacher() -> None:
    assert STUDENT.key != replace(STUDENT, teacher=BASE).key
    assert STUDENT.parents == (STUDENT.start, TEACHER) and STUDENT.cost == 150


def test_the_loss_is_the_divergence_of_the_answers(tmp_path: Path) -> None:
    store = Store(tmp_path)
    built(store, [START, replace(START, seed=1)])
    teacher, student = load_model(START, store), load_model(replace(START, seed=1), store)
    batch = sample(PROMPTS, 8, 0)
    loss = answers_of(teacher)
    with torch.no_grad():
        assert float(loss(teacher, batch, PROMPTS)) == pytest.approx(0, abs=1e-6)
        p, q = (m.answer_logits(batch.tokens, PROMPTS.answer_pos).softmax(-1) for m in (teacher, student))
        by_hand = (p * (p / q).log()).sum(-1).mean()
        assert float(loss(student, batch, PROMPTS)) == pytest.approx(float(by_hand), rel=1e-4)
    assert float(by_hand) > 0
