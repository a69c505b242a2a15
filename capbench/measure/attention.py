"""Attention maps: what the answer position attends to, and how much maps differ (paper Fig. 10, 40-48)."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from capbench.errors import UsageError
from capbench.measure.accuracy import device_of
from capbench.models.base import Model


@torch.no_grad()
def attention_maps(
    model: Model, tokens: Int[Tensor, "batch pos"], *, batch_size: int = 256
) -> Float[Tensor, "layer batch head query key"]:
    """Attention probabilities of every block. Raises UsageError for a model without attention."""
    was_training = model.training
    model.eval()
    parts = [
        model.run_with_cache(part, attention=True)[1].attn for part in tokens.to(device_of(model)).split(batch_size)
    ]
    model.train(was_training)
    found = [part for part in parts if part is not None]
    if len(found) != len(parts):
        raise UsageError(f"{type(model).__name__} has no attention maps")
    return torch.cat(found, dim=1).float().cpu()


def attention_mass(
    maps: Float[Tensor, "layer batch head query key"], position: int, on: Bool[Tensor, "batch key"]
) -> Float[Tensor, " layer"]:
    """Attention from one position to the marked keys: summed over keys, averaged over strings and heads, 0..1."""
    mass: Tensor = (maps[:, :, :, position] * on[None, :, None]).sum(-1).mean((1, 2))
    return mass


def map_distance(
    maps: Float[Tensor, "batch head query key"],
    others: Float[Tensor, "batch head query key"],
    queries: Bool[Tensor, "batch query"],
) -> float:
    """Mean total variation between two sets of maps over the marked queries: 0 if equal, 1 if disjoint."""
    distance = 0.5 * (maps - others).abs().sum(-1).mean(1)  # [batch, query]
    return float(distance[queries].mean())
