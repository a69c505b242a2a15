"""Directions in the residual stream: one that the change took away is given back, one that it put there is projected out.

Both are the mean difference of two models' streams where the answer is given (steering: Turner et al. 2023, arXiv 2308.10248;
ablation: Arditi et al. 2024, arXiv 2406.11717).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capbench.errors import UsageError
from capbench.measure.accuracy import device_of
from capbench.measure.language.answers import BATCH, evaluating
from capbench.models.base import Model
from capbench.tasks.language.streams import Prompts, by_length


def difference(base: Model, model: Model, prompts: Prompts) -> Float[Tensor, "layer d_model"]:
    """The mean of the base's stream where answers are given, less the model's: after the embedding, and after every block."""
    return _mean(base, prompts) - _mean(model, prompts)


@contextlib.contextmanager
def steered(model: Model, direction: Float[Tensor, " d_model"], *, block: int, scale: float = 1.0) -> Iterator[Model]:
    """The model with `scale` times a direction added to the stream after this block, at every position."""
    with _changed(model, block, lambda stream: stream + scale * direction.to(stream)):
        yield model


@contextlib.contextmanager
def ablated(model: Model, direction: Float[Tensor, " d_model"]) -> Iterator[Model]:
    """The model without this direction in the stream after any of its blocks."""
    unit = direction / direction.norm().clamp_min(1e-12)

    def without(stream: Tensor) -> Tensor:
        along = unit.to(stream)
        left: Tensor = stream - (stream @ along)[..., None] * along
        return left

    with contextlib.ExitStack() as stack:
        for block in range(len(_blocks(model))):
            stack.enter_context(_changed(model, block, without))
        yield model


@contextlib.contextmanager
def _changed(model: Model, block: int, change: Any) -> Iterator[None]:
    def hook(_: nn.Module, args: Any, out: Any) -> Any:
        return (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)

    handle = _blocks(model)[block].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _blocks(model: Model) -> nn.ModuleList:
    found = getattr(model, "blocks", None)
    if not isinstance(found, nn.ModuleList):
        raise UsageError(
            f"{type(model).__name__}: its blocks are not known, to whose stream a direction could be added"
        )
    return found


@torch.no_grad()
def _mean(model: Model, prompts: Prompts) -> Float[Tensor, "layer d_model"]:
    total: Any = 0
    with evaluating(model):
        for rows in by_length(prompts, BATCH):
            part = prompts.part(rows)
            tokens = part.batch().tokens[:, : part.before].to(device_of(model))
            total = total + model.run_with_cache(tokens)[1].resid[:, :, part.answer_pos].double().sum(1).cpu()
    mean: Tensor = (total / len(prompts)).float()
    return mean
