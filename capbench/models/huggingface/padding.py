"""Strings of unequal length in one batch: the token PAD fills them up, on either side.

A model that reads left to right knows nothing of what comes later, so padding on the right cannot matter. Strings that are padded
on the left are moved to the left before the pass, and their results back after it. Thus positions count from a string's first
token, and no architecture needs a mask: transformers' masks keep padding out of attention, but not out of every convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Self

import torch
from jaxtyping import Int
from torch import Tensor

from capbench.errors import UsageError

PAD = -1  # no vocabulary has it, so that no text is taken for padding


def padded(strings: Sequence[Sequence[int]], *, side: Literal["left", "right"]) -> Int[Tensor, "batch pos"]:
    """Strings as one batch, as long as the longest. Raises UsageError for an empty string."""
    longest = max(map(len, strings), default=0)
    if not all(map(len, strings)) or not longest:
        raise UsageError("strings to pad: each must have at least one token")
    fill = [[PAD] * (longest - len(string)) for string in strings]
    pairs = zip(fill, strings, strict=True)
    return torch.tensor([[*pad, *own] if side == "left" else [*own, *pad] for pad, own in pairs])


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
