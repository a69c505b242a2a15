"""Several tasks as one: each string comes from one of them (pretraining on all families; mixing, App. B.2, E.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capbench.errors import UsageError
from capbench.tasks.base import Batch, Task

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Strings of several tasks of the same shape, each task drawn with its share; uniform if no shares are given.

    answer_weight is that of the first part, for all.
    """

    parts: tuple[Task, ...]
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            raise UsageError("a mixture needs at least one task")
        if self.shares:
            total = sum(self.shares)
            if len(self.shares) != len(self.parts) or not abs(total - 1) <= 1e-9 or min(self.shares) < 0:
                raise UsageError(f"shares {self.shares} of a mixture must be {len(self.parts)} numbers that sum to 1")
        shape = (self.vocab_size, self.seq_len, self.answer_pos)
        for part in self.parts:
            if (part.vocab_size, part.seq_len, part.answer_pos) != shape:
                raise UsageError(
                    f"{part.name} and {self.parts[0].name} cannot be mixed: vocabulary size, length or answer position differ"
                )

    @property
    def name(self) -> str:
        if not self.shares:
            return "+".join(part.name for part in self.parts)
        return "+".join(f"{share:g} {part.name}" for share, part in zip(self.shares, self.parts, strict=True))

    @property
    def vocab_size(self) -> int:
        return self.parts[0].vocab_size

    @property
    def seq_len(self) -> int:
        return self.parts[0].seq_len

    @property
    def answer_pos(self) -> int:
        return self.parts[0].answer_pos

    @property
    def answer_weight(self) -> float:
        return self.parts[0].answer_weight

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n strings in random order, their tasks drawn independently."""
        import torch

        shares = torch.tensor(self.shares or [1.0] * len(self.parts), dtype=torch.float64, device=rng.device)
        drawn = torch.multinomial(shares, n, replacement=True, generator=rng)
        counts = torch.bincount(drawn, minlength=len(self.parts)).tolist()
        batches = [part.sample(count, rng) for part, count in zip(self.parts, counts, strict=True) if count]
        order = torch.randperm(n, generator=rng, device=rng.device)
        return Batch(*(torch.cat(column)[order] for column in zip(*batches, strict=True)))
