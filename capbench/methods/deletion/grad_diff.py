"""Gradient difference: one loss that descends on the kept stream and ascends on the forget stream.

Source: Liu et al. 2022, arXiv 2203.12817; in the form of TOFU (Maini et al. 2024, arXiv 2401.06121).
"""

from __future__ import annotations

import copy

from torch import Tensor

from capbench.configs import TrainConfig
from capbench.methods.common import check
from capbench.methods.streams import answer_log_probabilities, beside, kept
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss


def grad_diff(model: Model, task: FineTuningTask, config: TrainConfig, *, weight: float = 1.0) -> Model:
    """Minimise loss(kept) - weight * loss(forget), all parameters; kept: O_FT and the other families.

    weight 0 trains on the kept stream alone. As many steps as full fine-tuning, twice its tokens. Raises MethodError for a
    weight below 0.
    """
    check("grad-diff", "weight", weight, "a number, at least 0", lambda v: v >= 0)
    tuned = copy.deepcopy(model).requires_grad_(True)
    forget = beside(task.forget, config)

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        ascent = answer_log_probabilities(model, next(forget), task.forget).mean()
        return next_token_loss(model, batch, stream) + weight * ascent

    fit(tuned, kept(task), config, loss=loss)
    return tuned
