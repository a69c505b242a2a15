"""WiSE-FT: weights interpolated between before and after (Wortsman et al. 2022, CVPR, arXiv 2109.01903)."""

from __future__ import annotations

import torch

from capbench.configs import TrainConfig
from capbench.methods.common import check
from capbench.methods.finetuning.full import full
from capbench.models.base import Model
from capbench.tasks.base import Task


def wise_ft(model: Model, task: Task, config: TrainConfig, *, alpha: float = 0.5) -> Model:
    """(1 - alpha) * base + alpha * fully fine-tuned, parameter by parameter. `config.steps` steps of full fine-tuning.

    The training curve is that of the fine-tuning, before interpolation. alpha: the paper recommends 0.5.
    """
    check("wise-ft", "alpha", alpha, "a number from 0 to 1", lambda v: 0 <= v <= 1)
    tuned = full(model, task, config)
    with torch.no_grad():
        for after, before in zip(tuned.parameters(), model.parameters(), strict=True):
            after.copy_(torch.lerp(before.to(after.device), after, alpha))
    return tuned
