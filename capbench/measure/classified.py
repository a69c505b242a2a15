"""What a model tells of somebody's own stories, and which features that has by the judgement of a classifier: a model, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from capbench.errors import NoAnswerError
from capbench.measure.accuracy import device_of
from capbench.measure.telling import Told, together
from capbench.models.base import Model
from capbench.models.generation import generate
from capbench.tasks.base import Batch
from capbench.tasks.padding import padded
from capbench.tasks.stories.checker import Found
from capbench.tasks.stories.corpus.questions import QuestionTask, asking
from capbench.tasks.stories.corpus.task import lengths
from capbench.tasks.stories.corpus.tokenising import END, NO, YES, Tokens
from capbench.tasks.stories.features import FEATURES


@dataclass(frozen=True)
class Classifier:
    """A model that was trained on `QuestionTask`."""

    model: Model

    @torch.no_grad()
    def says(self, stories: Sequence[Sequence[int]], feature: str) -> list[bool]:
        """Whether each story, given as tokens without its end, has a feature. Raises NoAnswerError for answers of NaN."""
        strings = [asking(story, feature) for story in stories]
        found: list[bool] = []
        size = together(max(map(len, strings), default=1))
        for start in range(0, len(strings), size):
            found += self._answers(strings[start : start + size])
        return found

    def _answers(self, strings: list[list[int]]) -> list[bool]:
        tokens = (
            padded(strings, side="right").clamp(min=END).to(device_of(self.model))
        )  # what follows a question is not seen
        last = torch.tensor([len(string) - 1 for string in strings], device=tokens.device)
        logits = self.model(tokens)[torch.arange(len(strings), device=tokens.device), last].float()
        if without := int(logits.isnan().any(-1).sum()):
            raise NoAnswerError(f"its answers are NaN on {without} of {len(strings)} stories")
        yes: list[bool] = (logits[:, YES] > logits[:, NO]).tolist()
        return yes


@dataclass(frozen=True, kw_only=True)
class Skill:
    """How well a classifier does on stories whose feature is known, half of which have it.

    sensitivity, specificity: share right of those with it, and of those without. n: stories in all.
    """

    sensitivity: float
    specificity: float
    n: int

    @property
    def accuracy(self) -> float:
        """Balanced: guessing gets .5, whatever the shares."""
        return (self.sensitivity + self.specificity) / 2


def skill(classifier: Classifier, task: QuestionTask, feature: str, n: int, rng: torch.Generator) -> Skill:
    """A classifier on n stories of a task, half of which have the feature by their blocks."""
    seed = int(torch.randint(2**62, (1,), generator=rng).item())
    stories, has = task.labelled(feature, n, np.random.default_rng(seed))
    said = np.array(classifier.says(stories, feature))
    return Skill(sensitivity=float(said[has].mean()), specificity=float(1 - said[~has].mean()), n=n)


def tell_own(
    model: Model,
    batch: Batch,
    asked: torch.Tensor,
    *,
    tokens: Tokens,
    classifier: Classifier,
    temperature: float = 0.0,
    rng: torch.Generator | None = None,
) -> Told:
    """Have a model tell a story for each block of a batch, up to its end or that of the context; a classifier says what it has.

    batch, asked: as `CorpusTask.with_features` gives them. Nothing is said of sentences, as there are none that are known.
    """
    stories = told_tokens(model, batch, temperature=temperature, rng=rng)
    by_feature = [classifier.says(stories, feature) for feature in FEATURES]
    found = [frozenset(f for f, has in zip(FEATURES, row, strict=True) if has) for row in zip(*by_feature, strict=True)]
    return Told(
        asked=tuple(tuple(map(bool, row)) for row in asked.tolist()),
        found=tuple(Found(features=features) for features in found),
        texts=tuple(map(tokens.decode, stories)),
    )


def told_tokens(
    model: Model, batch: Batch, *, temperature: float = 0.0, rng: torch.Generator | None = None
) -> list[list[int]]:
    """The stories that a model tells for the blocks of a batch, as tokens without the end."""
    blocks, _ = lengths(batch)
    seq_len, size = batch.tokens.shape[1], together(batch.tokens.shape[1])
    found: list[list[int]] = []
    for prompts, long in zip(batch.tokens.split(size), blocks.split(size), strict=True):
        rows = generate(
            model, prompts, seq_len - int(long.min()), end=END, temperature=temperature, rng=rng, lengths=long
        )
        for row, start in zip(rows.tolist(), long.tolist(), strict=True):
            story = row[: seq_len - start]
            found.append(story[: story.index(END)] if END in story else story)
    return found
