"""Activation patching on prompts: what the rest of another model makes of a model's residual stream (see measure/patch.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from capbench.measure.accuracy import device_of
from capbench.measure.language.answers import BATCH, choice_logits, evaluating, first_is_largest
from capbench.models.base import Model
from capbench.tasks.language.streams import Prompts, by_length
from capbench.training.remembered import remembering


@torch.no_grad()
def put_in(base: Model, model: Model, prompts: Prompts, *, after: Sequence[int]) -> tuple[float, ...]:
    """Accuracy of the base model with the stream of another put in at all positions after each of these blocks, 0 the first.

    prompts: with choices. Both must be of one shape. The stream is taken as it is: unlike measure/patch.py this does not undo a
    rotation, so what it does not find may still be there.
    """
    right = torch.zeros(len(after))
    above = len(_blocks(base)) - min(after)  # what is below is replaced
    with evaluating(base), evaluating(model), remembering(base, above):
        for rows in by_length(prompts, BATCH):
            part = prompts.part(rows)
            tokens = part.batch().tokens.to(device_of(base))
            streams = _after(model, after, tokens)
            for i, (block, stream) in enumerate(zip(after, streams, strict=True)):
                with _in_place(_blocks(base)[block], stream):
                    logits = base(tokens)[:, part.answer_pos]
                right[i] += int(first_is_largest(choice_logits(logits, part)).sum())
    return tuple((right / len(prompts)).tolist())


def _after(model: Model, blocks: Sequence[int], tokens: Tensor) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    with ExitStack() as hooks:
        for block in blocks:

            def keep(_: nn.Module, __: Any, out: Any, block: int = block) -> None:
                found[block] = out[0] if isinstance(out, tuple) else out

            hooks.callback(_blocks(model)[block].register_forward_hook(keep).remove)
        model(tokens)
    return [found[block] for block in blocks]


@contextmanager
def _in_place(block: nn.Module, stream: Tensor) -> Iterator[None]:
    """What a block gives is this stream."""
    handle = block.register_forward_hook(lambda _, __, out: (stream, *out[1:]) if isinstance(out, tuple) else stream)
    try:
        yield
    finally:
        handle.remove()


def _blocks(model: Model) -> nn.ModuleList:
    return cast(Any, model).blocks  # type: ignore[no-any-return]
