"""Taking a capability out: what computed it is zeroed or drawn anew, so that nothing of it is left by construction."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from capbench.models.base import Model


@torch.no_grad()
def redrawn_blocks(model: Model, *, rng: torch.Generator) -> Model:
    """Every weight of every block drawn anew, each map's from a normal distribution as wide as it was; embeddings stay."""
    model = copy.deepcopy(model)
    for linear in _linears(model):
        linear.weight.normal_(0.0, float(linear.weight.std()), generator=rng)
    return model


@torch.no_grad()
def zeroed_blocks(model: Model, *, rng: torch.Generator, noise: float = 1e-2) -> Model:
    """Every weight of every block zero, but for a little noise: a zero among zeros gets no gradient, and could learn nothing."""
    model = copy.deepcopy(model)
    for linear in _linears(model):
        linear.weight.normal_(0.0, noise, generator=rng)
        linear.bias.zero_()
    return model


def _linears(model: Any) -> list[nn.Linear]:
    return [module for module in model.blocks.modules() if isinstance(module, nn.Linear)]
