"""What a model answers on a fixed sample: two models of the same weights must answer alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from capbench.measure.accuracy import device_of
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask

_STRINGS = 16  # of each stream
_RTOL, _ATOL = 1e-4, 1e-5  # another order of sums moves float32 logits by less


class Question(NamedTuple):
    """Strings of one stream. tokens: Int[batch pos]; position: where the answer is predicted."""

    tokens: torch.Tensor
    position: int


def questions(task: FineTuningTask, *, seed: int = 0) -> dict[str, Question]:
    """16 strings of each stream of a task, by name, always the same: a hook may act on some prompts only."""
    streams = {"target": task.target, "retain": task.retain, "forget": task.forget, "others": task.others}
    return {
        name: Question(stream.sample(_STRINGS, torch.Generator().manual_seed(seed)).tokens, stream.answer_pos)
        for name, stream in streams.items()
        if stream is not None
    }


@torch.no_grad()
def answers(model: Model, asked: Mapping[str, Question]) -> dict[str, torch.Tensor]:
    """The logits of a model in evaluation mode for these strings, on the CPU, by name. Raises what the model raises.

    `NAME.everywhere`, Float[batch pos vocab]: `model(tokens)`. `NAME.answer`, Float[batch vocab]: `model.answer_logits`, which
    some architectures compute in another way.
    """
    found: dict[str, torch.Tensor] = {}
    device = device_of(model)
    for name, (tokens, position) in asked.items():
        tokens = tokens.to(device)
        found[f"{name}.everywhere"] = model(tokens).float().cpu()
        found[f"{name}.answer"] = model.answer_logits(tokens, position).float().cpu()
    return found


def alike(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether two models gave the same logits, up to the order of sums."""
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape
        and torch.allclose(one[name], other[name], rtol=_RTOL, atol=_ATOL, equal_nan=True)
        for name in one
    )
