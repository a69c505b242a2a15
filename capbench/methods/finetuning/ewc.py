"""Elastic weight consolidation: weights that mattered before are held (Kirkpatrick et al. 2017, PNAS, arXiv 1612.00796)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.common import another_seed, check
from capbench.methods.finetuning.l2_sp import pulled_back
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit


def ewc(
    model: Model, task: FineTuningTask, config: TrainConfig, *, strength: float = 1000.0, samples: int = 256
) -> Model:
    """Fine-tune a copy on the loss + strength / 2 * sum of F * (weight - start)^2. `config.steps` steps.

    F: the diagonal of the Fisher information on `samples` strings of `task.retain`, estimated before training. These passes
    count as tokens, not as steps. Weight decay stays as in `config`, so strength=0 is full fine-tuning.
    """
    check("ewc", "strength", strength, "a number, at least 0", lambda v: v >= 0)
    check("ewc", "samples", samples, "a whole number, at least 1", lambda v: v >= 1, whole=True)
    tuned = copy.deepcopy(model).requires_grad_(True)
    tuned.to(config.device)
    rng = torch.Generator().manual_seed(another_seed(config.seed, 0))
    importance = fisher(tuned, task.retain, samples, rng)
    fit(tuned, task, config, loss=pulled_back(tuned, strength, importance))
    return tuned


def fisher(model: Model, task: Task, samples: int, rng: torch.Generator) -> list[Tensor]:
    """Diagonal of the Fisher information of the answers: one tensor per parameter, of its shape.

    The mean over strings of the squared gradient of each single string (not the square of the batch's mean gradient).
    Answers are drawn from the model: with the answers of the data it would be the empirical Fisher
    (Kunstner et al. 2019, arXiv 1905.12558).
    """
    model.eval()
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for tokens in task.sample(samples, rng).tokens.to(parameters[0].device).split(1):
        logits = model.answer_logits(tokens, task.answer_pos)
        answer = torch.multinomial(logits.detach().softmax(-1).cpu(), 1, generator=rng)[:, 0].to(logits.device)
        gradients = torch.autograd.grad(F.cross_entropy(logits, answer), parameters, allow_unused=True)
        for summed, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                summed.addcmul_(gradient, gradient)
    return [summed / samples for summed in total]
