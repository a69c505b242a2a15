"""SimNPO: negative preference optimisation without a reference model, using the answer's log-probability per token.

Source: Fan et al. 2024, arXiv 2410.07163.
"""

from __future__ import annotations

import copy

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.common import check
from capbench.methods.streams import above_zero, answer_log_probabilities, beside, kept
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss


def simnpo(
    model: Model,
    task: FineTuningTask,
    config: TrainConfig,
    *,
    beta: float = 2.5,
    gamma: float = 0.0,
    weight: float = 1.0,
) -> Model:
    """Minimise loss(kept) + weight * SimNPO(forget), all parameters.

    beta: inverse temperature; gamma: margin, a larger one stops the push earlier. As many steps as full fine-tuning, twice its
    tokens. Raises MethodError for a beta or weight that is not above 0, or a gamma below 0.
    """
    above_zero("simnpo", beta=beta, weight=weight)
    check("simnpo", "gamma", gamma, "a number, at least 0", lambda v: v >= 0)
    tuned = copy.deepcopy(model).requires_grad_(True)
    forget = beside(task.forget, config)

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        now = answer_log_probabilities(model, next(forget), task.forget)
        return next_token_loss(model, batch, stream) + weight * simnpo_loss(now, beta=beta, gamma=gamma)

    fit(tuned, kept(task), config, loss=loss)
    return tuned


def simnpo_loss(now: Float[Tensor, " batch"], *, beta: float, gamma: float, length: int = 1) -> Float[Tensor, ""]:
    """-2/beta * mean log sigmoid(-beta/length * now - gamma), of log-probabilities (Fan et al. 2024, Eq. 4).

    length: number of answer tokens, 1 in all tasks here.
    """
    return -2 / beta * F.logsigmoid(-beta / length * now - gamma).mean()
