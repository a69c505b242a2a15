"""Where a model's parts write to its residual stream, and the stream after each of them: read, or set to other values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from capbench.errors import UsageError
from capbench.models.anatomy import halves, known
from capbench.models.base import Model


class Point(NamedTuple):
    """A place in the stream: after a module wrote to it.

    depth: in blocks; .5 is after the attention of the first one. writer: the module. reader: the module whose input is the
    stream to which the writer's output is added; None where that output is the whole stream.
    """

    depth: float
    writer: nn.Module
    reader: nn.Module | None = None


def points(model: Model) -> list[Point]:
    """After every mixer of tokens (attention, or another) and every MLP; of architectures not known inside, after every block.

    Raises UsageError for a model without `blocks`.
    """
    blocks = getattr(model, "blocks", None)
    if not isinstance(blocks, nn.ModuleList) or not len(blocks):
        raise UsageError(
            f"{type(model).__name__} has no `blocks`, an nn.ModuleList: its residual stream cannot be patched"
        )
    if not known(model):
        return [Point(number + 1, block) for number, block in enumerate(blocks)]
    return [
        Point(number + (i + 1) / 2, half.writer, half.norm if half.norm is not None else half.readers[0])
        for number, block in enumerate(halves(model))
        for i, half in enumerate(block)
    ]


@torch.no_grad()
def streams(
    model: Model, at: Sequence[Point], tokens: Int[Tensor, "batch pos"]
) -> list[Float[Tensor, "batch pos d_model"]]:
    """The residual stream at each of these points of the model."""
    before: dict[int, Tensor] = {}
    found: dict[int, Tensor] = {}

    def reads(place: int, value: Tensor) -> None:
        before[place] = value

    def writes(place: int, value: Tensor) -> None:
        found[place] = value + before[place] if place in before else value

    with ExitStack() as hooks:
        for place, point in enumerate(at):
            if point.reader is not None:
                hooks.enter_context(_input_of(point.reader, lambda value, place=place: reads(place, value)))
            hooks.enter_context(_output_of(point.writer, lambda value, place=place: writes(place, value)))
        model(tokens)
    return [found[place] for place in range(len(at))]


@torch.no_grad()
def answers_with(
    model: Model, at: Point, stream: Float[Tensor, "batch pos d_model"], tokens: Int[Tensor, "batch pos"], position: int
) -> Int[Tensor, " batch"]:
    """The model's most likely token at `position` if the stream at this point is the one given."""
    before: list[Tensor] = []
    with ExitStack() as hooks:
        if at.reader is not None:
            hooks.enter_context(_input_of(at.reader, before.append))
        hooks.enter_context(_output_of(at.writer, lambda _: stream - before[0] if before else stream))
        return model.answer_logits(tokens, position).argmax(-1)


@contextmanager
def _input_of(module: nn.Module, told: Any) -> Iterator[None]:
    handle = module.register_forward_pre_hook(lambda _, arguments: told(arguments[0]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _output_of(module: nn.Module, told: Any) -> Iterator[None]:
    """told: is given the output; what it returns, unless None, takes its place."""
    handle = module.register_forward_hook(lambda _, arguments, output: told(output))
    try:
        yield
    finally:
        handle.remove()
