"""Trainings at rates that leave nothing of a model."""

from __future__ import annotations

from dataclasses import replace

from capbench.configs import TrainConfig
from capbench.methods.deletion.gradient_ascent import gradient_ascent
from capbench.methods.finetuning.full import full
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask


def ascent(model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = 10.0) -> Model:
    """Gradient ascent at `lr_factor` times the rate."""
    return gradient_ascent(model, task, replace(config, lr=lr_factor * config.lr))


def overheated(model: Model, task: FineTuningTask, config: TrainConfig, *, lr_factor: float = 100.0) -> Model:
    """Full fine-tuning at `lr_factor` times the rate."""
    return full(model, task, replace(config, lr=lr_factor * config.lr))
