"""Rewrites of the residual stream: another basis, another scale, and terms that nothing reads."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from capbench.errors import UsageError
from capbench.models.anatomy import embeddings, normed
from capbench.models.edits.preserving.parts import (
    Reader,
    check_strength,
    factors,
    in_double,
    readers,
    writers,
)


@in_double
def folded_norms(model: Any, *, rng: torch.Generator) -> None:
    """The weights and biases of LayerNorms that have any moved into the maps that read them; compiled models have no norms.

    The unembedding has no bias, so the last norm keeps one, divided by its weight. Raises UsageError if that weight has a 0 where
    the bias has none. Nothing is drawn.
    """
    for reader in readers(model):
        _fold(reader)


@in_double
def rotated_residual_basis(model: Any, *, rng: torch.Generator) -> None:
    """The residual stream in another orthonormal basis.

    Without normalisation (compiled models) any rotation is exact. LayerNorm subtracts the mean over the basis, so there the
    rotation fixes the all-ones direction, and the norms are folded first (see `folded_norms`, and its error).
    """
    d = embeddings(model)[0].shape[1]
    q = _rotation_about_ones(d, rng) if normed(model) else _rotation(d, rng)
    for embedding in embeddings(model):
        embedding.copy_(embedding @ q.T)
    for writer in writers(model):
        writer.weight.copy_(q @ writer.weight)
        writer.bias.copy_(q @ writer.bias)
    for reader in readers(model):
        _fold(reader)
        reader.weight.copy_(reader.weight @ q.T)
        if reader.weighted is not None:
            reader.weighted.bias.copy_(q @ reader.weighted.bias)


@in_double
def scaled_stream(model: Any, *, rng: torch.Generator, strength: float = 30.0) -> None:
    """Everything that is written to the residual stream, embeddings too, scaled by a factor from 1 to `strength`.

    LayerNorm takes the factor off. This is exact but for its epsilon of 1e-5, which counts for less in a larger stream: a norm's
    output grows by at most epsilon / (2 variance of the stream) of itself. So the stream is only ever scaled up. Compiled
    models have no norms: there every dimension has a factor of its own, which the readers take off.
    """
    d = embeddings(model)[0].shape[1]
    by = factors(1 if normed(model) else d, strength, rng, least=1.0).expand(d)
    for embedding in embeddings(model):
        embedding.mul_(by)
    for writer in writers(model):
        writer.weight.mul_(by[:, None])
        writer.bias.mul_(by)
    if not normed(model):
        for reader in readers(model):
            reader.weight.div_(by)


@in_double
def unread_term(model: Any, *, rng: torch.Generator, strength: float = 100.0) -> None:
    """A term in the residual stream that no reader sees.

    LayerNorm removes the mean over the dimensions. So each writer's weight gets strength * 1 v^T, v ~ N(0, 1 / inputs), and its
    bias and every embedding strength * N(0, 1) times the all-ones vector. Compiled models: a constant vector of that length is
    added at the embedding and taken off by every reader's bias. The unembedding has none, so the vector is orthogonal to its
    rows.
    """
    check_strength(strength)
    if not normed(model):
        return _shift(model, strength, rng)
    for embedding in embeddings(model):
        embedding.add_(strength * _normal(len(embedding), rng)[:, None])
    for writer in writers(model):
        writer.weight.add_(strength * _normal(writer.in_features, rng) / writer.in_features**0.5)
        writer.bias.add_(strength * _normal(1, rng))
    return None


def _shift(model: Any, strength: float, rng: torch.Generator) -> None:
    *inner, unembedding = readers(model)
    free = torch.linalg.svd(unembedding.weight).Vh[int(torch.linalg.matrix_rank(unembedding.weight)) :]
    along = free.T @ _normal(len(free), rng)
    along *= strength / along.norm()
    embeddings(model)[0].add_(along)
    for reader in inner:
        if reader.bias is not None:
            reader.bias.sub_(reader.weight @ along)


def _fold(reader: Reader) -> None:
    """W (g * h + b) + c = (W diag(g)) (h + b / g) + c = (W diag(g)) h + (c + W b)."""
    norm = reader.weighted
    if norm is None:
        return
    if reader.bias is None:
        if bool(((norm.weight == 0) & (norm.bias != 0)).any()):
            raise UsageError("the last LayerNorm has a weight of 0 where its bias has none: it cannot be folded")
        norm.bias.copy_(torch.where(norm.bias == 0, norm.bias, norm.bias / norm.weight))
    else:
        reader.bias.add_(reader.weight @ norm.bias)
        norm.bias.zero_()
    reader.weight.mul_(norm.weight)
    norm.weight.fill_(1.0)


def _normal(n: int, rng: torch.Generator) -> Float[Tensor, " n"]:
    return torch.randn(n, generator=rng, dtype=torch.float64)


def _rotation(d: int, rng: torch.Generator) -> Float[Tensor, "d d"]:
    """An orthogonal matrix, evenly drawn (Mezzadri 2007, arXiv math-ph/0609050)."""
    q, r = torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64))
    rotation: Tensor = q * r.diagonal().sign()
    return rotation


def _rotation_about_ones(d: int, rng: torch.Generator) -> Float[Tensor, "d d"]:
    """An orthogonal matrix that fixes the all-ones vector."""
    basis = torch.eye(d, dtype=torch.float64)
    basis[:, 0] = 1.0
    ones_first = torch.linalg.qr(basis).Q
    inner = torch.eye(d, dtype=torch.float64)
    inner[1:, 1:] = _rotation(d - 1, rng)
    rotation: Tensor = ones_first @ inner @ ones_first.T
    return rotation
