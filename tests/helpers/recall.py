"""A task of a user's own, in a file that processes which draw from it import in a moment."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from capbench.tasks.base import IGNORE, Batch


@dataclass(frozen=True, kw_only=True)
class Recall:
    """The answer at position 2 is the token at position 0."""

    name: str = "recall"
    vocab_size: int = 5
    seq_len: int = 3
    answer_pos: int = 2
    answer_weight: float = 1.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        tokens = torch.randint(self.vocab_size, (n, 3), generator=rng)
        targets = torch.full_like(tokens, IGNORE)
        targets[:, 2] = tokens[:, 0]
        return Batch(tokens, targets)
