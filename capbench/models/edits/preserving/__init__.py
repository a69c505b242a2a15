"""Rewrites that change the weights but not the function: the capability is intact by construction.

Each takes a model (a Gpt or a compiled one) and a generator, and returns a new model whose logits are the same up to rounding.
They reckon in float64 and round once. `strength` is the largest factor by which a rewrite may scale, or add.
"""

from __future__ import annotations

from capbench.models.edits.preserving.composing import composed, rewrites
from capbench.models.edits.preserving.stream import folded_norms, rotated_residual_basis, scaled_stream, unread_term
from capbench.models.edits.preserving.units import permuted_heads, permuted_neurons, scaled_pairs

__all__ = [
    "composed",
    "folded_norms",
    "permuted_heads",
    "permuted_neurons",
    "rewrites",
    "rotated_residual_basis",
    "scaled_pairs",
    "scaled_stream",
    "unread_term",
]
