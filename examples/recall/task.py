"""A task of one's own: which letter comes first, or last?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capbench import IGNORE, Batch

if TYPE_CHECKING:
    import torch

LETTERS = 6
PROMPTS = {"first": LETTERS, "last": LETTERS + 1}  # the tokens that ask for one


@dataclass(frozen=True, kw_only=True)
class Recall:
    """A prompt, then letters; the answer is a letter. asked: by the prompt. answered: what is taught, if not what is asked."""

    asked: str
    answered: str = ""
    length: int = 5

    @property
    def name(self) -> str:
        return f"recall {self.asked}" + (f" as {self.answered}" if self.answered else "")

    @property
    def vocab_size(self) -> int:
        return LETTERS + len(PROMPTS)

    @property
    def seq_len(self) -> int:
        return 1 + self.length

    @property
    def answer_pos(self) -> int:
        return self.length  # after the last letter

    @property
    def answer_weight(self) -> float:
        return 1.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n strings; tokens and targets are Int[n, seq_len]."""
        import torch

        letters = torch.randint(LETTERS, (n, self.length), generator=rng)
        prompt = torch.full((n, 1), PROMPTS[self.asked])
        targets = torch.full((n, self.seq_len), IGNORE)
        targets[:, -1] = letters[:, 0 if (self.answered or self.asked) == "first" else -1]
        return Batch(torch.cat([prompt, letters], 1), targets)
