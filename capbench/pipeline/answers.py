"""What a model answers on a fixed sample: two models of the same weights must answer alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from capbench.measure.accuracy import device_of
from capbench.models.base import Model
from capbench.tasks.base import Task

_STRINGS = 16  # of each stream
_RTOL, _ATOL = 1e-4, 1e-5  # another order of sums moves float32 logits by less


@torch.no_grad()
def answers(model: Model, tasks: Mapping[str, Task], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """The logits of a model in evaluation mode on 16 strings of each task, on the CPU, by name.

    `NAME.everywhere`, Float[batch pos vocab]: `model(tokens)`. `NAME.answer`, Float[batch vocab]: `model.answer_logits`, which
    some architectures compute in another way. Raises what the model raises.
    """
    found: dict[str, torch.Tensor] = {}
    device = device_of(model)
    for name, task in tasks.items():
        tokens = task.sample(_STRINGS, torch.Generator().manual_seed(seed)).tokens.to(device)
        found[f"{name}.everywhere"] = model(tokens).float().cpu()
        found[f"{name}.answer"] = model.answer_logits(tokens, task.answer_pos).float().cpu()
    return found


def alike(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether two models gave the same logits, up to the order of sums."""
    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape
        and torch.allclose(one[name], other[name], rtol=_RTOL, atol=_ATOL, equal_nan=True)
        for name in one
    )
