"""Training single rows of a model's maps, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import fit


def fit_rows(model: Model, stream: Task, config: TrainConfig, rows: Sequence[tuple[str, int]]) -> None:
    """Train only these rows of weights (all parameters, if there are no rows); afterwards all parameters require gradients."""
    if not rows:
        fit(model, stream, config)
        return
    linears = model.neurons()
    model.requires_grad_(False)
    hooks = []
    for name in {name for name, _ in rows}:
        weight = linears[name].weight.requires_grad_(True)
        mask = torch.zeros(len(weight), 1, device=weight.device)
        mask[[row for of, row in rows if of == name]] = 1
        hooks.append(weight.register_hook(mask.mul))
    fit(model, stream, replace(config, weight_decay=0.0))  # decay would move the other rows
    for hook in hooks:
        hook.remove()
    model.requires_grad_(True)
