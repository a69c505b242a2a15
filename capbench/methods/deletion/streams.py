"""What the deleting methods share: the stream that is learnt and kept, other streams beside it, and how likely answers are.

Unless a method says otherwise it takes as many optimizer steps as full fine-tuning, and at each a batch of the kept stream and
one as large to forget: twice the tokens. Compiled models have no prompts: nothing tells a string to forget from one to learn,
so that there both parts of a loss pull at the same strings.
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
from capbench.training import batches


def kept(task: FineTuningTask) -> Task:
    """The target, half and half with the other families where there are any: what is to be learnt, and what is to stay.

    Not `retain`: the pretraining distribution holds the prompts that are to be forgotten.
    """
    return task.target if task.others is None else Mixture(parts=(task.target, task.others), shares=(0.5, 0.5))


def generator(config: TrainConfig, stream: int) -> torch.Generator:
    """A generator on the CPU for stream 1, 2, …"""
    return torch.Generator().manual_seed(another_seed(config.seed, stream))


def beside(task: Task, config: TrainConfig, stream: int = 1) -> Iterator[Batch]:
    """One more batch for every step, of the same size, on the device that is trained on."""
    for batch in batches(task, replace(config, seed=another_seed(config.seed, stream))):
        yield on_device(batch, config)


def on_device(batch: Batch, config: TrainConfig) -> Batch:
    """The batch where the training is."""
    return Batch(*(part.to(config.device, non_blocking=True) for part in batch))


def answer_log_probabilities(model: Model, batch: Batch, task: Task) -> Float[torch.Tensor, " batch"]:
    """log p(right answer) of every string."""
    logits = model.answer_logits(batch.tokens, task.answer_pos)
    return logits.log_softmax(-1).gather(1, batch.targets[:, task.answer_pos, None])[:, 0]


def above_zero(method: str, **options: float) -> None:
    """Raises MethodError for an option that is not a number above 0."""
    for name, value in options.items():
        check(method, name, value, "a number above 0", lambda v: v > 0)
