"""The form of a fine-tuning method."""

from __future__ import annotations

from typing import Protocol

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask


class FineTuneMethod(Protocol):
    """A method takes a model, a task and a configuration and returns a new model; it must not change the given one.

    It may call `capbench.training.loop.fit` with its own loss or run its own loop. `task` also has `retain` and `forget`.
    """

    def __call__(self, model: Model, task: FineTuningTask, config: TrainConfig) -> Model: ...
