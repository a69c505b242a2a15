"""Small changes of every row of a model's maps, trained in place of the weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from capbench.models.base import Model


class Change(nn.Module):
    """weight + share * |row| * d / (1 + |d|) for each row, with d trained from 0. `rows` [rows]: what each row is scaled by."""

    weight: Tensor
    reach: Tensor
    rows: Tensor

    def __init__(self, weight: Tensor, share: float) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("reach", share * weight.detach().norm(dim=1, keepdim=True))
        self.register_buffer("rows", torch.ones(len(weight)))

    def forward(self, d: Tensor) -> Tensor:
        changed = self.weight + self.reach * d / (1 + d.norm(dim=1, keepdim=True))
        whole: Tensor = self.rows[:, None] * changed
        return whole

    def right_inverse(self, weight: Tensor) -> Tensor:
        return torch.zeros_like(weight)


def bounded(model: Model, share: float) -> dict[str, Change]:
    """Let a change of each row train, in place of the weights of all maps but the unembedding."""
    changes = {}
    for name, linear in model.neurons().items():
        changes[name] = Change(linear.weight, share)
        parametrize.register_parametrization(linear, "weight", changes[name])
        linear.parametrizations.weight.original.requires_grad_(True)  # type: ignore[union-attr]
    return changes


def merged(model: Model, changes: dict[str, Change]) -> Model:
    """The model with the changes in its weights."""
    for name in changes:
        linear = model.get_submodule(name)
        parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
    return model.requires_grad_(True)
