"""Gradient ascent: raises the loss on the forget stream.

Source: Jang et al. 2023, arXiv 2210.01504; in the form of TOFU (Maini et al. 2024, arXiv 2401.06121).
"""

from __future__ import annotations

import copy

from torch import Tensor

from capbench.configs import TrainConfig
from capbench.methods.streams import answer_log_probabilities
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit


def gradient_ascent(model: Model, task: FineTuningTask, config: TrainConfig) -> Model:
    """Lower the mean log-probability of the right answers to prompts for O_PT, all parameters.

    As in the papers the loss has no other term: O_FT is not learned, and nothing protects the model's other knowledge. The loss
    is unbounded: over many steps models collapse. A step costs as many tokens as one of full fine-tuning.
    """
    tuned = copy.deepcopy(model).requires_grad_(True)
    fit(tuned, task.forget, config, loss=log_likelihood)
    return tuned


def log_likelihood(model: Model, batch: Batch, task: Task) -> Tensor:
    """The mean log-probability of the right answers: minus the cross-entropy."""
    return answer_log_probabilities(model, batch, task).mean()
