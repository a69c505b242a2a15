"""Identity: no fine-tuning at all, the control that every verdict of loss or revival must read as intact."""

from __future__ import annotations

import copy

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.tasks.base import Task


def identity(model: Model, task: Task, config: TrainConfig) -> Model:
    """A copy of the model as it is."""
    return copy.deepcopy(model)
