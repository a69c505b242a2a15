"""Strings of unequal length in one batch: the token PAD fills them up, on either side.

A model that reads left to right knows nothing of what comes later, so padding on the right cannot matter. Strings that are padded
on the left are moved to the left before the pass, and their results back after it. Thus positions count from a string's first
token, and no architecture needs a mask: transformers' masks keep padding out of attention, but not out of every convolution.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import torch
from jaxtyping import Int
from torch import Tensor

from capbench.errors import UsageError
from capbench.tasks.padding import PAD, padded

__all__ = ["PAD", "Moved", "padded"]


class Moved(NamedTuple):
    """tokens: with all padding on the right, where any token stands for it. start: where each string began."""

    tokens: Int[Tensor, "batch pos"]
    start: Int[Tensor, " batch"]

    @classmethod
    def of(cls, tokens: Int[Tensor, "batch pos"]) -> Self | None:
        """None if there is no padding. Raises UsageError for a string of padding alone, and for padding within a string."""
        real = tokens >= 0
        if bool(real.all()):
            return None
        length = real.sum(1)
        start = (real.cumsum(1) == 0).sum(1)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        left = tokens.gather(1, (places + start[:, None]) % tokens.shape[1])
        if bool((length == 0).any()) or not torch.equal(left >= 0, places < length[:, None]):
            raise UsageError(
                f"padding (token {PAD}) must stand before or after a string, and a string must have a token"
            )
        return cls(left.clamp(min=0), start)

    def back(self, values: Tensor, axis: int, *, batch: int = 0) -> Tensor:
        """Values per string and position, as the strings were given. What stands where padding was means nothing."""
        places = torch.arange(values.shape[axis], device=values.device)
        index = (places - self.start[:, None]) % values.shape[axis]
        shape = [1] * values.dim()
        shape[batch], shape[axis] = index.shape
        return values.take_along_dim(index.view(shape), axis)
