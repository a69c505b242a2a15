"""L2-SP: weights are pulled back to their starting values (Li, Grandvalet & Davoine 2018, ICML, arXiv 1802.01483)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from capbench.configs import TrainConfig
from capbench.methods.common import check
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.training.loop import Loss, fit, next_token_loss


def l2_sp(model: Model, task: Task, config: TrainConfig, *, strength: float = 0.1) -> Model:
    """Fine-tune a copy on the loss + strength / 2 * |weights - start|^2, over all parameters. `config.steps` steps.

    Weight decay is off: this penalty replaces it. strength: the paper's best was 0.1; lr * strength above 1 overshoots.
    """
    check("l2-sp", "strength", strength, "a number, at least 0", lambda v: v >= 0)
    tuned = copy.deepcopy(model).requires_grad_(True)
    tuned.to(config.device)
    fit(tuned, task, replace(config, weight_decay=0.0), loss=pulled_back(tuned, strength))
    return tuned


def pulled_back(model: Model, strength: float, weights: Sequence[Tensor] | None = None) -> Loss:
    """The usual loss + strength / 2 * sum of weight * (parameter - its value now)^2.

    weights: one tensor per parameter, of its shape; None: all 1.
    """
    start = [p.detach().clone() for p in model.parameters()]

    def loss(trained: Model, batch: Batch, task: Task) -> Tensor:
        gaps = [p - s for p, s in zip(trained.parameters(), start, strict=True)]
        squares = [gap.square() for gap in gaps]
        if weights is not None:
            squares = [w * square for w, square in zip(weights, squares, strict=True)]
        penalty = torch.stack([square.sum() for square in squares]).sum()
        return next_token_loss(trained, batch, task) + 0.5 * strength * penalty

    return loss
