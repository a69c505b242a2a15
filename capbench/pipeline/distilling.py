"""Distilling one model into another: the student sees what the teacher answers, and never its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from capbench.measure.accuracy import device_of
from capbench.models.base import Model
from capbench.pipeline.build import load_model
from capbench.pipeline.recording import Progress, fit_meta
from capbench.pipeline.snapshots import Snapshots
from capbench.pipeline.steps import Distil
from capbench.store.store import Store
from capbench.tasks.base import Batch, Task
from capbench.training.loop import Loss, fit, keeping, observing


class _Nothing:
    """Watches nothing, and has no state of its own; progress is told."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, step: int, model: Model) -> bool:
        self._progress(1)
        return False

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """There is nothing to restore."""


def carry_out(step: Distil, store: Store, progress: Progress) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The student's weights, and what the training loop saw."""
    snapshots = Snapshots(store.root, step.key)
    student, teacher = load_model(step.start, store), load_model(step.teacher, store).to(step.train.device)
    watched = _Nothing(progress)
    with observing(watched) as fits, keeping(snapshots.of(watched)):
        # The loss depends on its arguments and on the teacher, whose key is part of this step's.
        fit(student, step.task, step.train, loss=answers_of(teacher), resumable=True)
    return student.state_dict(), {**fit_meta(fits), **snapshots.spent()}


def answers_of(teacher: Model) -> Loss:
    """The loss of answering as the teacher does: KL divergence of the answers' distributions, in nats, mean over prompts.

    Source: Hinton et al. 2015, arXiv 1503.02531, at temperature 1.
    """
    teacher = teacher.eval().requires_grad_(False)

    def loss(student: Model, batch: Batch, task: Task) -> Tensor:
        tokens = batch.tokens.to(device_of(teacher))
        with torch.no_grad():
            wanted = teacher.answer_logits(tokens, task.answer_pos).log_softmax(-1)
        given = student.answer_logits(batch.tokens, task.answer_pos).log_softmax(-1)
        return F.kl_div(given, wanted.to(given.device), log_target=True, reduction="batchmean")

    return loss
