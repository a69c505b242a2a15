"""Deleting a capability: the weights that compute it are zeroed or redrawn, so nothing is left by construction."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from capbench.models.base import Model


@torch.no_grad()
def redrawn_blocks(model: Model, *, rng: torch.Generator) -> Model:
    """Redraw the weights of all blocks, each map's from a normal distribution of its standard deviation; embeddings stay."""
    model = copy.deepcopy(model)
    for linear in _linears(model):
        linear.weight.normal_(0.0, float(linear.weight.std()), generator=rng)
    return model


@torch.no_grad()
def zeroed_blocks(model: Model, *, rng: torch.Generator, noise: float = 1e-2) -> Model:
    """Zero the weights of all blocks, except a little noise: among zeros alone there are no gradients to learn from."""
    model = copy.deepcopy(model)
    for linear in _linears(model):
        linear.weight.normal_(0.0, noise, generator=rng)
        linear.bias.zero_()
    return model


@torch.no_grad()
def redrawn(model: Model, *, rng: torch.Generator, share: float) -> Model:
    """Redraw this share of the blocks' weights, each with the same chance, as `redrawn_blocks` does; the others stay."""
    model = copy.deepcopy(model)
    for linear in _linears(model):
        weight = linear.weight
        drawn = torch.empty_like(weight).normal_(0.0, float(weight.std()), generator=rng)
        weight.copy_(torch.where(torch.rand(weight.shape, generator=rng) < share, drawn, weight))
    return model


def _linears(model: Any) -> list[nn.Linear]:
    return [module for module in model.blocks.modules() if isinstance(module, nn.Linear)]
