"""Activation patching: from which depth of a model on is a capability of its base gone?

The stream of one model is put into another, the base, layer by layer, and the base's remaining blocks answer. Where they still
give the old answer, the model had computed what they need. How far it falls is compared with what the stream of a model that
never had the capability does. Source: the Unlearning Depth Score, arXiv 2605.24614.

What is put in must not depend on how a model writes down its stream, which no output shows: in a rotated basis, scaled, or with
a term that every norm removes. So a stream is taken as its readers see it (`Model.as_read`), turned to the base's by an
orthogonal Procrustes fit (Schönemann 1966) with a mean and one scale, and given the base's own length. Such a map can move,
turn and mirror what is there; unlike one fitted by least squares it cannot make a small difference large, or drop what is in
the way. What it can make of nothing shows on the model that never had the capability. A model without norms may scale each
dimension as it likes, so there both streams are whitened first, which leaves the fit nothing but a turn either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from capbench.errors import UsageError
from capbench.measure.accuracy import device_of
from capbench.measure.stream import Point, answers_with, points, streams
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task

TOLD_APART = 0.20  # accuracy: a layer is informative where the never-taught model's stream loses at least this
ERASED = 0.5  # share of the way from the base to the never-taught model: from here on the answer counts as gone
_ROUNDING = 1e-12  # of the largest variance of a stream: streams are in float32
_TOGETHER = 256  # strings in one pass


@dataclass(frozen=True, kw_only=True)
class Depth:
    """How deep a capability is gone, by layer. depths: in blocks, .5 being after the first attention.

    base, never, tuned: accuracy of the base with each model's stream put in there. The base's own, put in by the same way, is
    the upper end of the scale.
    """

    depths: tuple[float, ...]
    base: tuple[float, ...]
    never: tuple[float, ...]
    tuned: tuple[float, ...]

    @property
    def erased(self) -> dict[float, float]:
        """By informative layer: 0 as in the base, 1 as in the model that never had the capability."""
        layers = zip(self.depths, self.base, self.never, self.tuned, strict=True)
        return {
            depth: min(max((base - tuned) / (base - never), 0.0), 1.0)
            for depth, base, never, tuned in layers
            if base - never >= TOLD_APART
        }

    @property
    def value(self) -> float | None:
        """Mean of `erased`, each layer weighted by how far the never-taught model falls there; None if none is informative."""
        falls = {d: b - n for d, b, n in zip(self.depths, self.base, self.never, strict=True) if d in self.erased}
        if not falls:
            return None
        return sum(falls[depth] * share for depth, share in self.erased.items()) / sum(falls.values())

    @property
    def gone_from(self) -> float | None:
        """The first informative layer from which on the answer is gone in all; None if it is still there in the last."""
        gone: float | None = None
        for depth, share in sorted(self.erased.items(), reverse=True):
            if share < ERASED:
                break
            gone = depth
        return gone


def patched(
    base: Model, model: Model, *, task: Task, select: Batch, evaluate: Batch
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Depths, and accuracy on `evaluate` of the base with the model's stream put in at each, at all positions.

    Maps are fitted on `select`. The two models are compared block by block from the input on, as far as both go: a block that was
    added at the end has no counterpart, and is passed over. The embedding is no layer here, as nothing is computed in it.
    Raises UsageError for streams of different widths and models without `blocks`.
    """
    modes = base.training, model.training
    base.eval(), model.eval()
    into, out_of = _shared(base, model)
    maps = _Maps.fitted(base, into, model, out_of, select)
    right = torch.zeros(len(into))
    targets = evaluate.targets[:, task.answer_pos].to(device_of(base))
    parts = evaluate.tokens.to(device_of(base)).split(_TOGETHER), targets.split(_TOGETHER)
    for tokens, answers in zip(*parts, strict=True):
        for layer, stream in enumerate(streams(model, out_of, tokens)):
            put_in = maps.apply(base, layer, model.as_read(stream))
            right[layer] += (answers_with(base, into[layer], put_in, tokens, task.answer_pos) == answers).sum().cpu()
    base.train(modes[0]), model.train(modes[1])
    return tuple(point.depth for point in into), tuple((right / len(targets)).tolist())


def _shared(base: Model, model: Model) -> tuple[list[Point], list[Point]]:
    """The points that both models have, by depth."""
    into, out_of = points(base), points(model)
    depths = {point.depth for point in into} & {point.depth for point in out_of}
    return [p for p in into if p.depth in depths], [p for p in out_of if p.depth in depths]


class _Maps:
    """By layer, the map from one model's stream x, as it is read, to the base's: (x - mean) turned, + the base's mean."""

    def __init__(self, fitted: Sequence[_Map]) -> None:
        self._fitted = fitted

    @classmethod
    @torch.no_grad()
    def fitted(cls, base: Model, into: Sequence[Point], model: Model, out_of: Sequence[Point], batch: Batch) -> _Maps:
        """Least squares over all strings and positions of the batch, among maps of that form."""
        sums: list[_Moments | None] = [None for _ in into]
        for tokens in batch.tokens.to(device_of(base)).split(_TOGETHER):
            of_both = zip(streams(base, into, tokens), streams(model, out_of, tokens), strict=True)
            for layer, (to, stream) in enumerate(of_both):
                found, before = _moments(to, base.as_read(to), model.as_read(stream)), sums[layer]
                sums[layer] = found if before is None else _Moments(*map(torch.add, before, found))
        unnormed = type(base).as_read is Model.as_read
        return cls([_solved(its, whiten=unnormed) for its in sums if its is not None])

    def apply(
        self, base: Model, layer: int, read: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """The stream to put into the base for one that is read so in the other model."""
        turn, mean, to_mean, length = self._fitted[layer]
        put_in = base.as_read((read.double() - mean) @ turn + to_mean) * length[: read.shape[1], None]
        return put_in.to(next(base.parameters()).dtype)


class _Moments(NamedTuple):
    """Sums over one layer's strings and positions in float64; x: what is read of the one stream, b: of the base's."""

    n: Tensor
    x: Float[Tensor, " d_model"]
    b: Float[Tensor, " d_model"]
    x_b: Float[Tensor, "d_model d_model"]
    x_x: Float[Tensor, "d_model d_model"]
    b_b: Float[Tensor, "d_model d_model"]
    raw: Float[Tensor, " pos"]
    squares: Float[Tensor, " pos"]


class _Map(NamedTuple):
    """What turns a stream, both means, and by position the length of the base's stream, over that of what is read of it."""

    turn: Float[Tensor, "d_model d_model"]
    mean: Float[Tensor, " d_model"]
    to_mean: Float[Tensor, " d_model"]
    length: Float[Tensor, " pos"]


def _moments(raw: Tensor, b: Tensor, x: Tensor) -> _Moments:
    """raw: the base's stream itself; all [batch, pos, d_model]."""
    if b.shape != x.shape:
        raise UsageError(f"streams of widths {b.shape[-1]} and {x.shape[-1]} cannot be put in each other's place")
    raw, b, x = raw.double(), b.double(), x.double()
    n = torch.tensor(b.shape[0] * b.shape[1], device=b.device)
    along, squares = (raw * b).sum((0, 2)), b.square().sum((0, 2))
    b, x = b.flatten(0, 1), x.flatten(0, 1)
    return _Moments(n, x.sum(0), b.sum(0), x.T @ b, x.T @ x, b.T @ b, along, squares)


def _solved(m: _Moments, *, whiten: bool) -> _Map:
    """The orthogonal map with the least squares, in the units of the streams or of their own spread."""
    mean, to_mean = m.x / m.n, m.b / m.n
    both, of_x, of_b = (
        products / m.n - torch.outer(left, right)
        for products, left, right in ((m.x_b, mean, to_mean), (m.x_x, mean, mean), (m.b_b, to_mean, to_mean))
    )
    if whiten:
        (_, into_units), (out_of_units, units_of_b) = _roots(of_x), _roots(of_b)
        u, _, vt = torch.linalg.svd(into_units @ both @ units_of_b)
        turn = into_units @ u @ vt @ out_of_units
    else:
        u, s, vt = torch.linalg.svd(both)
        turn = u @ vt * s.sum() / of_x.trace().clamp_min(torch.finfo(s.dtype).tiny)
    return _Map(turn, mean, to_mean, m.raw / m.squares)


def _roots(covariance: Float[Tensor, "d d"]) -> tuple[Float[Tensor, "d d"], Float[Tensor, "d d"]]:
    """The root of a covariance and that of its pseudo-inverse; what is below rounding has no spread."""
    values, vectors = torch.linalg.eigh(covariance)
    spread = values > _ROUNDING * values[-1]
    root = torch.where(spread, values, 1.0).sqrt()
    return (vectors * root * spread) @ vectors.T, (vectors / root * spread) @ vectors.T
