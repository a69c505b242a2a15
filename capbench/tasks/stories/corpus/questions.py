"""Questions that a classifier of stories learns from: a story, and whether it has a feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.stories.corpus.task import CorpusTask
from capbench.tasks.stories.corpus.tokenising import END, NO, YES, question
from capbench.tasks.stories.features import FEATURES, index_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class QuestionTask:
    """A story without its block, its end, the token that asks for a feature; the answer, yes or no, is the only target.

    stories: where they are from. features: that are asked for, equally often, with as many yes as no. seq_len: of strings, which
    are filled up with the end on the right.
    """

    stories: CorpusTask
    features: tuple[str, ...] = FEATURES
    seq_len: int

    @property
    def name(self) -> str:
        return "questions about features"

    @property
    def vocab_size(self) -> int:
        return self.stories.vocab_size

    @property
    def answer_pos(self) -> int:
        """A position that never has a target: a question follows its story, wherever that ends."""
        return 0

    @property
    def answer_weight(self) -> float:
        return 0.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n questions, tokens and targets Int[n, seq_len]."""
        import torch

        seed = torch.randint(2**62, (1,), generator=rng, device=rng.device).item()
        own = np.random.default_rng(int(seed))
        of = own.integers(len(self.features), size=n)
        tokens = np.full((n, self.seq_len), END, dtype=np.int64)
        targets = np.full((n, self.seq_len), IGNORE, dtype=np.int64)
        for i, feature in enumerate(self.features):
            rows = np.flatnonzero(of == i)
            stories, has = self.labelled(feature, len(rows), own)
            for row, story, yes in zip(rows.tolist(), stories, has.tolist(), strict=True):
                asked = asking(story, feature)
                tokens[row, : len(asked)] = asked
                targets[row, len(asked) - 1] = YES if yes else NO
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets))

    def labelled(self, feature: str, n: int, rng: np.random.Generator) -> tuple[list[list[int]], np.ndarray]:
        """n stories without their ends, half of which have a feature, and whether each does, bool [n]."""
        of = replace(self.stories, shares={}, even=feature)
        records = of.drawn(n, rng)
        part = of.opened.part(of.split)
        return [part.story(record)[:-1].tolist() for record in records.tolist()], part.told(records)[
            :, index_of(feature)
        ]


def asking(story: Sequence[int], feature: str) -> list[int]:
    """A story as a classifier is asked about it; the answer is the next token."""
    return [*story, END, question(feature)]
