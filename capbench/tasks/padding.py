"""Strings of unequal length in one batch: the token PAD fills them up, before or after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from capbench.errors import UsageError

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

PAD = -1  # no vocabulary has it, so that no text is taken for padding


def padded(strings: Sequence[Sequence[int]], *, side: Literal["left", "right"]) -> Int[Tensor, "batch pos"]:
    """Strings as one batch, as long as the longest. Raises UsageError for an empty string."""
    import torch

    longest = max(map(len, strings), default=0)
    if not all(map(len, strings)) or not longest:
        raise UsageError("strings to pad: each must have at least one token")
    fill = [[PAD] * (longest - len(string)) for string in strings]
    pairs = zip(fill, strings, strict=True)
    return torch.tensor([[*pad, *own] if side == "left" else [*own, *pad] for pad, own in pairs])
