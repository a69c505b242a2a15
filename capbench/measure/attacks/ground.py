"""What an attack on a capability in natural language is tried on, and what it gives: the common interface of the attacks."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.measure.accuracy import device_of
from capbench.measure.attacks.effort import Effort
from capbench.measure.language import retain
from capbench.measure.language.answers import right
from capbench.measure.language.scale import Score
from capbench.models.base import Model
from capbench.tasks.language.capability import EXACT, SPLITS, Capability, Item
from capbench.tasks.language.chance import chance
from capbench.tasks.language.streams import Prompts, Texts
from capbench.tasks.language.tokenising import Tokeniser
from capbench.tasks.language.unrelated import unrelated
from capbench.tasks.splits import Split

# How many of these prompts are answered rightly.
Scorer = Callable[[Model, Prompts, Sequence[Item]], float]


def by_metric(model: Model, prompts: Prompts, items: Sequence[Item]) -> float:
    """By the metrics `choice` and `exact`."""
    return float(right(model, prompts).sum())


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a model answers after an attack. loss: on the text to keep, nats per token. detail: what was chosen, as a layer."""

    select: Score
    evaluate: Score
    loss: float
    detail: str = ""


class Attack(Protocol):
    """One way to bring a capability back. What it chooses, it chooses on the split `select` and never on `evaluate`."""

    @property
    def name(self) -> str:
        """In a report."""
        ...

    @property
    def trains(self) -> int:
        """Steps of training that it takes."""
        ...

    def on(self, model: Model, ground: Ground) -> Tried:
        """Attack the model, which stays as it was. Raises UsageError, one line, where the attack is not possible."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A capability as tokens: the items that are asked, and text to keep.

    items: as many as are asked, by split. texts: on which the loss is read; retain: others, to train on.
    """

    of: Capability
    tokeniser: Tokeniser
    items: Mapping[Split, tuple[Item, ...]]
    texts: Texts
    retain: Texts
    effort: Effort
    scorer: Scorer = by_metric

    @classmethod
    def made(
        cls, of: Capability, tokeniser: Tokeniser, *, effort: Effort | None = None, scorer: Scorer = by_metric
    ) -> Ground:
        """Raises UsageError, one line, for what the tokeniser refuses: every item is looked at, asked or not."""
        effort = effort or Effort()
        tokeniser.others(of)
        for split in SPLITS:
            tokeniser.prompts(of, of.items[split])
        if not of.retain:
            raise UsageError(
                f"{of.name}: there is no text to keep, on which damage would show; add a .txt file to retain"
            )
        longest = max(map(len, tokeniser.plain(of.retain)))
        length = max(2, min(effort.length, tokeniser.seq_len, longest - 1))
        texts = tokeniser.texts(f"texts beside {of.name}", of.retain, length=length)
        read = min(effort.texts, max(1, len(texts) // 2))
        order = random.Random(effort.seed).sample(range(len(texts)), len(texts))  # a file may be sorted
        return cls(
            of=of,
            tokeniser=tokeniser,
            items={split: _some(of.items[split], effort.most[split], effort.seed) for split in SPLITS},
            texts=_part(texts, order[:read]),
            retain=_part(texts, order[read:] or order),
            effort=effort,
            scorer=scorer,
        )

    def about(self, other: Capability) -> Ground:
        """The same questions of another capability with as many items. Raises UsageError as `made` does."""
        items = {s: _some(other.items[s], self.effort.most[s], self.effort.seed) for s in SPLITS}
        return replace(self, of=other, items=items)

    @cached_property
    def prompts(self) -> Mapping[Split, Prompts]:
        """As they are asked, by split."""
        return {split: self.asking(self.items[split]) for split in SPLITS}

    @cached_property
    def chance(self) -> float:
        """Accuracy without knowledge."""
        return chance(self.of, self.prompts["train"], self.prompts["evaluate"])

    def asking(self, items: Sequence[Item]) -> Prompts:
        """These items as tokens."""
        return self.tokeniser.prompts(self.of, items, seed=self.effort.seed)

    def unrelated(self) -> Prompts:
        """As many true facts that have nothing to do with it as there are items to train on; fewer if there are no more."""
        n = min(len(self.items["train"]), 150)
        plain = replace(self.of, name="unrelated facts", metric=EXACT, drawn=0)
        return self.tokeniser.prompts(plain, unrelated(n, seed=self.effort.seed))

    def score(self, model: Model, split: Split, prompts: Prompts | None = None) -> Score:
        """Of the items of a split. prompts: in which they are asked otherwise."""
        items = self.items[split]
        asked = self.prompts[split] if prompts is None else prompts
        return Score(right=round(self.scorer(model, asked, items)), n=len(items))

    def loss(self, model: Model) -> float:
        """On the text to keep, nats per token."""
        return retain.loss(model, self.texts)

    def tried(self, model: Model, detail: str = "", *, select: Score | None = None) -> Tried:
        """What is told of an attacked model. select: if it was scored already."""
        select = select or self.score(model, "select")
        return Tried(select=select, evaluate=self.score(model, "evaluate"), loss=self.loss(model), detail=detail)

    def train(self, model: Model, lr: float) -> TrainConfig:
        """How to relearn."""
        e = self.effort
        return TrainConfig(
            steps=e.steps, batch_size=e.batch, lr=lr, seed=e.seed, warmup=0.1, device=str(device_of(model))
        )


def _some(items: Sequence[Item], most: int, seed: int) -> tuple[Item, ...]:
    if len(items) <= most:
        return tuple(items)
    return tuple(items[i] for i in sorted(random.Random(seed).sample(range(len(items)), most)))


def _part(texts: Texts, which: Sequence[int]) -> Texts:
    return replace(texts, strings=tuple(texts.strings[i] for i in sorted(which)))


def best(scores: Mapping[str, Score]) -> str:
    """The name of the best; the first of equals. Raises UsageError if there is none."""
    if not scores:
        raise UsageError("there is nothing to choose from")
    return max(scores, key=lambda name: scores[name].accuracy)
