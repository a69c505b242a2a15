"""Negative preference optimisation: gradient ascent that fades as an answer becomes less likely than it was before.

Source: Zhang et al. 2024, arXiv 2404.05868, with their loss on the retain set ("NPO+RT").
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.streams import above_zero, answer_log_probabilities, beside, kept
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss


def npo(model: Model, task: FineTuningTask, config: TrainConfig, *, beta: float = 0.1, weight: float = 1.0) -> Model:
    """Minimise loss(kept) + weight * NPO(forget), all parameters; the given model is the reference.

    beta: the paper's inverse temperature; near 0 it becomes gradient ascent. As many steps as full fine-tuning, twice its
    tokens, and a forward pass of the reference. Raises MethodError for a beta or weight that is not above 0.
    """
    above_zero("npo", beta=beta, weight=weight)
    tuned = copy.deepcopy(model).requires_grad_(True)
    reference = copy.deepcopy(model).requires_grad_(False).to(config.device).eval()
    forget = beside(task.forget, config)

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        strings = next(forget)
        with torch.no_grad():
            before = answer_log_probabilities(reference, strings, task.forget)
        now = answer_log_probabilities(model, strings, task.forget)
        return next_token_loss(model, batch, stream) + weight * npo_loss(now, before, beta=beta)

    fit(tuned, kept(task), config, loss=loss)
    return tuned


def npo_loss(now: Float[Tensor, " batch"], before: Float[Tensor, " batch"], *, beta: float) -> Float[Tensor, ""]:
    """-2/beta * mean log sigmoid(-beta * (now - before)), of log-probabilities (Zhang et al. 2024, Eq. 3).

    At now = before its gradient is that of mean(now): gradient ascent.
    """
    return -2 / beta * F.logsigmoid(-beta * (now - before)).mean()
