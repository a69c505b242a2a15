"""A suppressor trained to stay in place while O_PT is relearnt.

Source: tampering attack resistance, Tamirisa et al. 2024, arXiv 2408.00761, with first-order gradients (Nichol et al. 2018, arXiv
1803.02999): the suppressing gradient is taken at weights that a few steps of relearning lead to, and applied to those before.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from capbench.configs import TrainConfig
from capbench.methods.silencing import kept, silencing
from capbench.methods.streams import beside
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss


def tamper_resistant(
    model: Model, task: FineTuningTask, config: TrainConfig, *, inner: int = 4, inner_lr: float = 2e-3
) -> Model:
    """Silence O_PT at weights that 0 to `inner` steps of relearning it lead to (each of length inner_lr per weight, as Adam's).

    The steps of relearning are undone before the weights change, so that a model which never had O_PT does not learn it.
    """
    tuned = copy.deepcopy(model).requires_grad_(True)
    right: Iterator[Batch] = beside(task.forget, replace(config, steps=inner * config.steps), stream=2)
    silence = silencing(task, config)
    step = 0

    def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
        nonlocal step
        parameters = list(model.parameters())
        before = [p.detach().clone() for p in parameters]
        for _ in range(step % (inner + 1)):
            relearnt = next_token_loss(model, next(right), task.forget)
            gradients = torch.autograd.grad(relearnt, parameters)
            with torch.no_grad():
                for p, g in zip(parameters, gradients, strict=True):
                    p.sub_(inner_lr * g.sign())
        step += 1
        value = silence(model, batch, stream)
        gradients = torch.autograd.grad(value, parameters)
        with torch.no_grad():
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
        # A loss with this value and these gradients at the weights before: first order.
        linear = sum((g * (p - old)).sum() for g, p, old in zip(gradients, parameters, before, strict=True))
        return value.detach() + linear

    fit(tuned, kept(task), replace(config, lr=5 * config.lr), loss=loss)
    return tuned
