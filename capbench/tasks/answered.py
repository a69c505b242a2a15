"""The strings of a task with other answers than its own: always the same one, or those of other strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capbench.errors import UsageError
from capbench.tasks.base import Batch, Task

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Answered:
    """constant: the answer token of every string; None: a batch's answers in random order, so that each stays as common as it is.

    The answer's token follows the position at which it is predicted, as in prompts.
    """

    task: Task
    constant: int | None = None

    def __post_init__(self) -> None:
        if self.constant is not None and not 0 <= self.constant < self.vocab_size:
            raise UsageError(f"constant {self.constant} must be a token, 0 to {self.vocab_size - 1}")

    @property
    def name(self) -> str:
        return f"{'random' if self.constant is None else 'constant'} answers to {self.task.name}"

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
        """n strings of the task, with the answer changed where it is predicted and where it stands."""
        import torch

        tokens, targets = (part.clone() for part in self.task.sample(n, rng))
        own, after = targets[:, self.answer_pos].clone(), self.answer_pos + 1
        order = torch.randperm(n, generator=rng, device=rng.device).to(own.device)
        given = own[order] if self.constant is None else torch.full_like(own, self.constant)
        targets[:, self.answer_pos] = given
        if after < tokens.shape[1]:
            tokens[:, after] = torch.where(tokens[:, after] == own, given, tokens[:, after])
        return Batch(tokens, targets)
