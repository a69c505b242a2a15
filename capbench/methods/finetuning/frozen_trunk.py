"""Frozen trunk: only the unembedding trains, so every circuit below it is intact by construction (linear probing)."""

from __future__ import annotations

import copy

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import fit


def frozen_trunk(model: Model, task: Task, config: TrainConfig) -> Model:
    """Fine-tune a copy of the model's `unembedding` alone. Raises MethodError for a model without one."""
    tuned = copy.deepcopy(model).requires_grad_(False)
    head = getattr(tuned, "unembedding", None)
    if head is None:
        raise MethodError(f"frozen-trunk needs a model with an unembedding; {type(model).__name__} has none")
    head.requires_grad_(True)
    fit(tuned, task, config)
    return tuned.requires_grad_(True)
