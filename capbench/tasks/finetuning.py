"""The task that a fine-tuning method is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capbench.tasks.base import Batch, Task

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class FineTuningTask:
    """The target stream of fine-tuning and streams to retain and to forget; as a task, its strings are the target's.

    target: prompts for O_FT with the spurious correlation at C_Tr. retain: the pretraining distribution, answers only.
    forget: prompts for O_PT with their right answers (for unlearning methods).
    others: the pretraining distribution without the fine-tuned family: what an unlearning method should keep, and what a
            retain-only revival trains on. None if pretraining had no other family (compiled models).
    """

    target: Task
    retain: Task
    forget: Task
    others: Task | None = None

    @property
    def name(self) -> str:
        return f"finetune {self.target.name}"

    @property
    def vocab_size(self) -> int:
        return self.target.vocab_size

    @property
    def seq_len(self) -> int:
        return self.target.seq_len

    @property
    def answer_pos(self) -> int:
        return self.target.answer_pos

    @property
    def answer_weight(self) -> float:
        return self.target.answer_weight

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n strings of the target stream."""
        return self.target.sample(n, rng)
