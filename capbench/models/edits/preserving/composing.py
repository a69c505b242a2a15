"""Several rewrites on top of each other, drawn at random."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from capbench.models.anatomy import normed
from capbench.models.base import Model
from capbench.models.edits.preserving.parts import factors, has_heads
from capbench.models.edits.preserving.stream import folded_norms, rotated_residual_basis, scaled_stream, unread_term
from capbench.models.edits.preserving.units import permuted_heads, permuted_neurons, scaled_pairs

M = TypeVar("M", bound=Model)
Rewrite = Callable[..., Any]  # (model, *, rng) -> model; those of `_STRONG` take a strength too
_PLAIN: tuple[Rewrite, ...] = (permuted_neurons, permuted_heads, folded_norms, rotated_residual_basis)
_STRONG: tuple[Rewrite, ...] = (scaled_pairs, scaled_stream, unread_term)


def rewrites(model: Model) -> Sequence[Rewrite]:
    """All rewrites that change something in a model of this architecture."""
    nothing = {folded_norms: not normed(model), permuted_heads: not has_heads(model)}
    return [rewrite for rewrite in (*_PLAIN, *_STRONG) if not nothing.get(rewrite)]


def composed(model: M, *, rng: torch.Generator, strength: float = 100.0) -> M:
    """The model after a random choice of rewrites (at least one, each at most once), in a random order.

    Each has a strength of its own, between 1 and `strength`. Rounded to the model's precision once, at the end.
    """
    known = rewrites(model)
    order = torch.randperm(len(known), generator=rng).tolist()
    n = int(torch.randint(1, len(known) + 1, (), generator=rng))
    rewritten = copy.deepcopy(model).double()
    for rewrite in (known[i] for i in order[:n]):
        arguments = {"strength": float(factors(1, strength, rng, least=1.0))} if rewrite in _STRONG else {}
        rewritten = rewrite(rewritten, rng=rng, **arguments)
    return rewritten.to(next(model.parameters()).dtype)
