"""Full fine-tuning: all weights train on the target task (paper Sec. 3, App. C.2)."""

from __future__ import annotations

import copy

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import fit


def full(model: Model, task: Task, config: TrainConfig) -> Model:
    """Fine-tune a copy of the model, all parameters."""
    tuned = copy.deepcopy(model).requires_grad_(True)
    fit(tuned, task, config)
    return tuned
