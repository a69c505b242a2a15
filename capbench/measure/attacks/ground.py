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
from capbench.tasks.language.splitting import held_out
from capbench.tasks.language.streams import Prompts, Texts
from capbench.tasks.language.tokenising import Tokeniser
from capbench.tasks.language.unrelated import unrelated
from capbench.tasks.splits import Split

# How rightly each of these prompts is answered, 0..1.
Scorer = Callable[[Model, Prompts, Sequence[Item]], Sequence[float]]


def by_metric(model: Model, prompts: Prompts, items: Sequence[Item]) -> Sequence[float]:
    """By the metrics `choice` and `exact`."""
    found: list[float] = right(model, prompts).double().tolist()
    return found


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What a model answers after an attack. loss: on the text to keep, nats per token. detail: what was chosen, as a layer."""

    select: Score
    evaluate: Score
    loss: float
    detail: str = ""


class NotCarriedOutError(UsageError):
    """An attack that broke off on a model: what it would bring back is not known, which is not the same as nothing."""


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
        """Attack the model, which stays as it was.

        Raises UsageError, one line, where the attack is not possible, NotCarriedOutError where it breaks off on this model, and
        NoAnswerError where what it makes of the model answers NaN.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A capability as tokens: the items that are asked, and text to keep.

    items: as many as are asked, by split. texts: on which the loss is read; retain: others, to train on, as methods
    are given them, too.
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
        kept, held = held_out(of.retain)
        longest = min(max(map(len, tokeniser.plain(part)), default=0) for part in (kept, held))
        length = max(2, min(effort.length, tokeniser.seq_len, longest - 1))
        retain = tokeniser.texts(f"texts beside {of.name}", kept, length=length)
        texts = tokeniser.texts(f"texts held out of {of.name}", held, length=length)
        read = min(effort.texts, len(texts))
        order = random.Random(effort.seed).sample(range(len(texts)), read)  # a file may be sorted
        return cls(
            of=of,
            tokeniser=tokeniser,
            items={split: _some(of.items[split], effort.most[split], effort.seed) for split in SPLITS},
            texts=replace(texts, strings=tuple(texts.strings[i] for i in sorted(order))),
            retain=retain,
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
        return self.scored(split, self.scorer(model, asked, items))

    def scored(self, split: Split, right: Sequence[float]) -> Score:
        """Of how rightly each item of a split is answered, 0..1."""
        return Score.of(right, [item.group for item in self.items[split]])

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


def best(scores: Mapping[str, Score]) -> str:
    """The name of the best; the first of equals. Raises UsageError if there is none."""
    if not scores:
        raise UsageError("there is nothing to choose from")
    return max(scores, key=lambda name: scores[name].accuracy)
