"""All weights trained until O_PT's answers say nothing, and the other families are as they were."""

from __future__ import annotations

import copy
from dataclasses import replace

from capbench.configs import TrainConfig
from capbench.methods.silencing import kept, silencing
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit


def silenced(model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = 5.0) -> Model:
    """Fine-tune a copy, all parameters. lr_factor: multiplies the rate, as what was broken is to be mended too."""
    tuned = copy.deepcopy(model).requires_grad_(True)
    fit(tuned, kept(task), replace(config, lr=lr_factor * config.lr), loss=silencing(task, config))
    return tuned
