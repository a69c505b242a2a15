"""Accuracy of the answer token on an evaluation sample."""

from __future__ import annotations

import torch

from capbench.errors import NoAnswerError
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task


def sample(task: Task, n: int, seed: int) -> Batch:
    """An evaluation sample: n strings from a generator seeded with `seed`."""
    return task.sample(n, torch.Generator().manual_seed(seed))


@torch.no_grad()
def accuracy(model: Model, task: Task, batch: Batch) -> float:
    """Share of strings whose most likely answer token is right, 0..1."""
    return float((predictions(model, task, batch) == batch.targets[:, task.answer_pos]).float().mean())


@torch.no_grad()
def predictions(model: Model, task: Task, batch: Batch) -> torch.Tensor:
    """The most likely answer token of each string, Int[batch]. Raises NoAnswerError where a model's logits are NaN."""
    was_training = model.training
    model.eval()
    parts = batch.tokens.to(device_of(model)).split(512)
    logits = torch.cat([model.answer_logits(tokens, task.answer_pos) for tokens in parts])
    model.train(was_training)
    if without := int(logits.isnan().any(-1).sum()):
        raise NoAnswerError(f"its answers are NaN on {without} of {len(logits)} strings")
    return logits.argmax(-1).to(batch.tokens.device)


def device_of(model: Model) -> torch.device:
    """The device of the model's parameters; samples are drawn on the CPU and moved there."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
