"""Identity: no fine-tuning, the control that every verdict on loss or revival must judge intact."""

from __future__ import annotations

import copy

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.tasks.base import Task


def identity(model: Model, task: Task, config: TrainConfig) -> Model:
    """An unchanged copy of the model."""
    return copy.deepcopy(model)
