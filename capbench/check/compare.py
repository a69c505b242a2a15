"""Comparing two models: their weights bit by bit, and what they answer."""

from __future__ import annotations

from typing import Any

import torch

from capbench.check.worlds import World
from capbench.models.base import Model
from capbench.pipeline.answers import alike as equal_answers
from capbench.pipeline.answers import answers, questions

BATCH = 8


def alike(one: Model, other: Model, world: World) -> bool:
    """Whether they answer the same in evaluation mode; False if one cannot answer. Modes and devices stay as they are."""
    found = []
    for model in (one, other):
        modes = {module: module.training for module in model.modules()}
        try:
            found.append(answers(model.eval(), questions(world.task)))
        except Exception:
            return False
        finally:
            for module, mode in modes.items():
                module.training = mode
    return equal_answers(*found)


def same(one: Any, other: Any) -> bool:
    """Whether both are models with equal weights."""
    if not (isinstance(one, Model) and isinstance(other, Model)):
        return False
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)


def equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether they are equal bit by bit, NaNs included."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    a, b = a.cpu(), b.cpu()
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())


def readable(value: Any) -> bool:
    """Whether an entry of a state dict is a dense tensor that holds numbers."""
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_meta


def storages(model: Model) -> set[int]:
    """Where a model's weights lie in memory."""
    weights = (value for value in model.state_dict().values() if readable(value) and value.numel())
    return {value.untyped_storage().data_ptr() for value in weights}
