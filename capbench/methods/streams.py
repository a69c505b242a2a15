"""Shared by the deletion methods: the kept stream, other streams drawn along with it, and the probability of answers.

Unless a method says otherwise it takes as many optimizer steps as full fine-tuning, each with a batch of the kept stream and
an equally large one to forget: twice the tokens. Compiled models have no prompts: a string to forget looks like a string to
learn, so both parts of a loss act on the same strings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float

from capbench.configs import TrainConfig
from capbench.methods.common import another_seed, check
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.mixture import Mixture
from capbench.training.loop import batches


def kept(task: FineTuningTask) -> Task:
    """What to learn and what to keep: the target mixed half and half with the other families, if there are any.

    Not `retain`: the pretraining distribution contains the prompts to forget.
    """
    return task.target if task.others is None else Mixture(parts=(task.target, task.others), shares=(0.5, 0.5))


def generator(config: TrainConfig, stream: int) -> torch.Generator:
    """A generator on the CPU for stream 1, 2, …"""
    return torch.Generator().manual_seed(another_seed(config.seed, stream))


def beside(task: Task, config: TrainConfig, stream: int = 1) -> Iterator[Batch]:
    """An additional batch of the same size for every step, on the training device."""
    for batch in batches(task, replace(config, seed=another_seed(config.seed, stream))):
        yield on_device(batch, config)


def on_device(batch: Batch, config: TrainConfig) -> Batch:
    """The batch on the training device."""
    return Batch(*(part.to(config.device, non_blocking=True) for part in batch))


def answer_log_probabilities(model: Model, batch: Batch, task: Task) -> Float[torch.Tensor, " batch"]:
    """log p(right answer) of every string."""
    logits = model.answer_logits(batch.tokens, task.answer_pos)
    return logits.log_softmax(-1).gather(1, batch.targets[:, task.answer_pos, None])[:, 0]


def above_zero(method: str, **options: float) -> None:
    """Raises MethodError for an option that is not a number above 0."""
    for name, value in options.items():
        check(method, name, value, "a number above 0", lambda v: v > 0)
