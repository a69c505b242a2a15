"""Training the last blocks of a model alone: cheaper, and what is below them stays what it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from capbench.errors import UsageError
from capbench.models.base import Model


@contextmanager
def only_the_last(model: Model, blocks: int | None) -> Iterator[None]:
    """Within this, only the parameters of the last `blocks` blocks have requires_grad; None: all have. Then as it was.

    Embeddings and the final norm are in no block. A model that has fewer blocks trains all of them. Raises UsageError for fewer
    than one, and for a model without a list of blocks.
    """
    asked = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    model.requires_grad_(blocks is None)
    if blocks is not None:
        for block in _last(model, blocks):
            block.requires_grad_(True)
    try:
        yield
    finally:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(asked.get(name, True))


def _last(model: Model, blocks: int) -> list[nn.Module]:
    there = getattr(model, "blocks", None)
    if blocks < 1:
        raise UsageError(f"the last {blocks} blocks: must be at least 1")
    if not isinstance(there, nn.ModuleList) or not len(there):
        raise UsageError(f"{type(model).__name__} has no list of blocks, of which the last could be trained")
    return list(there)[-blocks:]
