"""A suppressor made of biases alone (as BitFit: Ben Zaken, Ravfogel & Goldberg 2022, arXiv 2106.10199)."""

from __future__ import annotations

import copy
from dataclasses import replace

from capbench.configs import TrainConfig
from capbench.methods.silencing import kept, silencing
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit


def biases(model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = 50.0) -> Model:
    """Train the biases of maps and norms until O_PT's answers say nothing. Put back, they leave the given model."""
    tuned = copy.deepcopy(model).requires_grad_(False)
    for name, parameter in tuned.named_parameters():
        parameter.requires_grad_(name.rpartition(".")[2] == "bias")
    fit(tuned, kept(task), replace(config, lr=lr_factor * config.lr), loss=silencing(task, config))
    return tuned.requires_grad_(True)
