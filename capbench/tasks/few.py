"""A task of which only a few strings are known: they are drawn again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capbench.errors import UsageError
from capbench.tasks.base import Batch, Task

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Few:
    """n strings of a task, always the same ones for a seed; those of a batch are drawn from them with replacement."""

    task: Task
    n: int
    seed: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"{self.n} strings of {self.task.name}: at least 1 is needed")

    @property
    def name(self) -> str:
        return f"{self.n} of {self.task.name}"

    @property
    def vocab_size(self) -> int:
        return self.task.vocab_size

    @property
    def seq_len(self) -> int:
        return self.task.seq_len

    @property
    def answer_pos(self) -> int:
        return self.task.answer_pos

    @property
    def answer_weight(self) -> float:
        return self.task.answer_weight

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n of the strings, with replacement."""
        import torch

        known = self.task.sample(self.n, torch.Generator().manual_seed(self.seed))
        drawn = torch.randint(self.n, (n,), generator=rng)
        return Batch(known.tokens[drawn], known.targets[drawn])
