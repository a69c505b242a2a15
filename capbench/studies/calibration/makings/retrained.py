"""Everything but the fine-tuned family, taught to a model anew."""

from __future__ import annotations

import copy
from dataclasses import replace

from capbench.configs import TrainConfig
from capbench.methods.silencing import kept
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit


def retrained(
    model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = 15.0, times: float = 8
) -> Model:
    """Train all weights on the other families alone. times: steps, as a multiple of the configuration's."""
    tuned = copy.deepcopy(model).requires_grad_(True)
    fit(tuned, kept(task), replace(config, lr=lr_factor * config.lr, steps=round(times * config.steps)))
    return tuned
