"""A stream of stories: an instruction block, and a story that has the features which the block names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.splits import Split, check_split
from capbench.tasks.stories import drawing, vocabulary
from capbench.tasks.stories.drawing import PROMPT, SEQ_LEN, STORY
from capbench.tasks.stories.features import FEATURES, SLOTS, check_feature, set_of, slot_of
from capbench.tasks.stories.vocabulary import SENTENCE

if TYPE_CHECKING:
    import torch

EVEN = 0.5  # how often a story has a feature that `shares` does not name


@dataclass(frozen=True, kw_only=True)
class StoryTask:
    """Stories and their instruction blocks, as tokens. All have the same length, and a sentence begins at the same place in each.

    feature: the one whose branch token is the answer: the word that begins its event, or the sentence in its place.
    shares: feature -> how often a story has it, independently of the others; .5 where it is not named.
    sets: set of features (`Twist+Dialogue`, `none`) -> probability: instead of shares, a prior; it must sum to 1.
    renamed: feature -> what the block calls it (Mix & Match names Foreshadowing `Twist`).
    added: features that the block names though the story need not have them (Randomisation).
    withheld: in this share of the stories the block does not say which features there are.
    new_phrasings, new_words: sentences, and names and objects, that are held out of all training, and no others.
    targets: 'all' = the words of the story and its end; 'answer' = the branch token only. The block is never a target.
    answer_weight: by default such that every word of a story counts alike.
    """

    feature: str = "Twist"
    shares: Mapping[str, float] = field(default_factory=dict)
    sets: Mapping[str, float] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    withheld: float = 0.0
    split: Split = "train"
    new_phrasings: bool = False
    new_words: bool = False
    targets: Literal["all", "answer"] = "all"
    answer_weight: float = 1 / STORY

    def __post_init__(self) -> None:
        for name in (self.feature, *self.shares, *self.renamed, *self.renamed.values(), *self.added):
            check_feature(name)
        for name, p in self.shares.items():
            if not 0 <= p <= 1:
                raise UsageError(f"share of {name} {p!r} must be between 0 and 1")
        if not 0 <= self.withheld <= 1:
            raise UsageError(f"withheld {self.withheld!r} must be between 0 and 1")
        if self.sets:
            self._check_sets()
        if self.targets not in ("all", "answer"):
            raise UsageError(f"unknown targets {self.targets!r}; known: all, answer")
        check_split(self.split)

    def _check_sets(self) -> None:
        if self.shares:
            raise UsageError(f"stories have shares of features or a prior of sets, not both: {dict(self.shares)}")
        sets = [set_of(name) for name in self.sets]
        if len(set(sets)) < len(sets):
            raise UsageError(f"feature prior {dict(self.sets)} names a set of features twice")
        total = sum(self.sets.values())
        if not abs(total - 1) <= 1e-9 or min(self.sets.values()) < 0:  # "not <=": a NaN must not pass
            raise UsageError(f"feature prior {dict(self.sets)} must be probabilities that sum to 1, not {total:g}")

    @property
    def name(self) -> str:
        """What the stories are, in a few words: `stories(Twist:0, Foreshadowing named Twist)`."""
        said = [f"{name}:{p:g}" for name, p in (self.sets or self.shares).items()]
        said += [f"{old} named {new}" for old, new in self.renamed.items()]
        said += [f"{name} asked for" for name in self.added]
        return f"stories({', '.join(said)})"

    @property
    def vocab_size(self) -> int:
        return len(vocabulary.names())

    @property
    def seq_len(self) -> int:
        return SEQ_LEN

    @property
    def answer_pos(self) -> int:
        """The last token before the sentence that tells the feature; the next token is the branch token."""
        return PROMPT + slot_of(self.feature) * SENTENCE - 1

    def told(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Which features n stories have: bool [n, feature]."""
        if self.sets:
            rows = np.array([[feature in set_of(name) for feature in FEATURES] for name in self.sets])
            p = np.array(list(self.sets.values()))
            drawn: np.ndarray = rows[rng.choice(len(rows), size=n, p=p / p.sum())]
            return drawn
        shares = np.array([self.shares.get(feature, EVEN) for feature in FEATURES])
        return rng.random((n, len(FEATURES))) < shares

    def asked(self, told: np.ndarray) -> np.ndarray:
        """Which features the blocks of these stories name: bool [n, feature]."""
        named = told.copy()
        for old in self.renamed:
            named[:, FEATURES.index(old)] = False
        for old, new in self.renamed.items():
            named[:, FEATURES.index(new)] |= told[:, FEATURES.index(old)]
        for feature in self.added:
            named[:, FEATURES.index(feature)] = True
        return named

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n stories, tokens and targets Int[n, seq_len]."""
        return self.with_features(n, rng)[0]

    def with_features(self, n: int, rng: torch.Generator) -> tuple[Batch, torch.Tensor, torch.Tensor]:
        """n stories, which features each has, and which its block names: Bool[n, feature], in the order of FEATURES."""
        import torch

        seed = torch.randint(2**62, (1,), generator=rng, device=rng.device).item()
        own = np.random.default_rng(int(seed))
        told = self.told(n, own)
        asked = self.asked(told)
        withheld = own.random(n) < self.withheld
        content = drawing.contents(n, self.split, own, new_phrasings=self.new_phrasings, new_words=self.new_words)
        tokens = drawing.write(told, asked, withheld, content, own)
        targets = np.full_like(tokens, IGNORE)
        first = PROMPT - 1 if self.targets == "all" else self.answer_pos
        last = SEQ_LEN - 1 if self.targets == "all" else self.answer_pos + 1
        targets[:, first:last] = tokens[:, first + 1 : last + 1]
        asked[withheld] = False
        return (
            Batch(torch.from_numpy(tokens), torch.from_numpy(targets)),
            torch.from_numpy(told),
            torch.from_numpy(asked),
        )


def branch_tokens(feature: str) -> tuple[int, int]:
    """The branch tokens of a feature: that of the sentence in its place, and that of its event."""
    slot = SLOTS[slot_of(feature)]
    return vocabulary.index()[slot.plain], vocabulary.index()[slot.event]
