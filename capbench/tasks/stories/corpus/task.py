"""A stream of somebody's own stories, drawn from records that were prepared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.splits import Split, check_split
from capbench.tasks.stories.corpus.opened import Opened, drawn_from, opened
from capbench.tasks.stories.corpus.tokenising import END
from capbench.tasks.stories.features import check_feature, index_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class CorpusTask:
    """Records of TinyStories-Instruct, or of the user's own in that format: blocks and stories, as `StoryTask` has them.

    identity: of the prepared stories, by content; path: where they lie, which is no part of a key.
    feature: what is asked about. shares: feature -> 1 or 0: only records that have it, or lack it; one that does not say its
    features is not among them. even: half of the records have this feature; '' for the shares of the corpus.
    renamed, added, withheld: what the block says of features, as in `StoryTask`. Records that do not say any are asked for none.
    split: half of the held-out records select, half evaluate; all others train.
    """

    identity: str
    vocab_size: int
    seq_len: int
    path: str = field(compare=False, repr=False)
    feature: str = "Twist"
    shares: Mapping[str, float] = field(default_factory=dict)
    even: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()
    withheld: float = 0.0
    split: Split = "train"

    def __post_init__(self) -> None:
        even = (self.even,) if self.even else ()
        for name in (self.feature, *self.shares, *even, *self.renamed, *self.renamed.values(), *self.added):
            check_feature(name)
        for name, share in self.shares.items():
            if share not in (0, 1):
                raise UsageError(f"share of {name} {share!r} must be 0 or 1: a corpus has the stories that it has")
        if self.even in self.shares:
            raise UsageError(f"{self.even} is in half of the stories, or has a share, not both")
        if not 0 <= self.withheld <= 1:
            raise UsageError(f"withheld {self.withheld!r} must be between 0 and 1")
        check_split(self.split)

    @property
    def name(self) -> str:
        """What the stories are, in a few words: `own stories(Twist:0, Foreshadowing named Twist)`."""
        said = [f"{name}:{share:g}" for name, share in self.shares.items()]
        said += [f"half {self.even}"] if self.even else []
        said += [f"{old} named {new}" for old, new in self.renamed.items()]
        said += [f"{name} asked for" for name in self.added]
        return f"own stories({', '.join(said)})"

    @property
    def answer_pos(self) -> int:
        """The last position, which always has a target: no place in a corpus is where a feature is decided."""
        return self.seq_len - 1

    @property
    def answer_weight(self) -> float:
        """Such that every token counts alike, nearly: most of a string are targets."""
        return 1 / self.seq_len

    @property
    def opened(self) -> Opened:
        """The prepared stories."""
        return opened(self.path)

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n strings of records, one after the other, tokens and targets Int[n, seq_len]; the last one of a string is cut.

        Blocks are no targets, but for a string's last token, whatever it is.
        """
        own = _generator(rng)
        drawn = self._endless(own)
        tokens = np.empty((n, self.seq_len + 1), dtype=np.int64)
        is_target = np.zeros((n, self.seq_len + 1), dtype=bool)
        for row, wanted in zip(tokens, is_target, strict=True):
            at = 0
            while at <= self.seq_len:
                block, story = next(drawn)
                at += _put(row, block, at)
                wanted[at : at + len(story)] = True
                at += _put(row, story, at)
        is_target[:, -1] = True
        targets = np.where(is_target[:, 1:], tokens[:, 1:], IGNORE)
        return _batch(tokens[:, :-1], targets)

    def with_features(self, n: int, rng: torch.Generator) -> tuple[Batch, torch.Tensor, torch.Tensor]:
        """n strings of one story each, of records that say their features, filled up with the end on the right.

        Then which features each has, and which its block names: Bool[n, feature], in the order of FEATURES. Each record is there
        once, where there are as many.
        """
        import torch

        own = _generator(rng)
        records = self.drawn(n, own)
        told = self.opened.part(self.split).told(records)
        asked = self.asked(told)
        asked[own.random(n) < self.withheld] = False
        tokens = np.full((n, self.seq_len + 1), END, dtype=np.int64)
        is_target = np.zeros((n, self.seq_len + 1), dtype=bool)
        for row, wanted, record, names in zip(tokens, is_target, records.tolist(), asked, strict=True):
            block, story = self._written(record, names, own)
            start = _put(row, block, 0)
            wanted[start : start + _put(row, story, start)] = True
        targets = np.where(is_target[:, 1:], tokens[:, 1:], IGNORE)
        return _batch(tokens[:, :-1], targets), torch.from_numpy(told), torch.from_numpy(asked)

    def asked(self, told: np.ndarray) -> np.ndarray:
        """Which features the blocks of these stories name: bool [n, feature]."""
        named = told.copy()
        for old in self.renamed:
            named[:, index_of(old)] = False
        for old, new in self.renamed.items():
            named[:, index_of(new)] |= told[:, index_of(old)]
        for feature in self.added:
            named[:, index_of(feature)] = True
        return named

    def drawn(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n records that say their features, int64 [n], each once where there are as many."""
        if not self.even:
            return _some(self._records(said=True), n, rng)
        have = n // 2 + int(n % 2 and rng.random() < 0.5)
        halves = [
            _some(self._records((self.even, share), said=True), count, rng)
            for share, count in ((1.0, have), (0.0, n - have))
        ]
        return rng.permutation(np.concatenate(halves))

    def _endless(self, rng: np.random.Generator) -> Iterator[tuple[list[int], np.ndarray]]:
        """Blocks and stories without end, each of the records equally often; of `even`, each half."""
        part, together = self.opened.part(self.split), 256
        while True:
            if self.even:
                records = self.drawn(together, rng)
            else:
                all_of_them = self._records(said=False)
                records = all_of_them[rng.integers(len(all_of_them), size=together)]
            asked = self.asked(part.told(records))
            asked[rng.random(together) < self.withheld] = False
            for record, names in zip(records.tolist(), asked, strict=True):
                yield self._written(record, names, rng)

    def _written(self, record: int, asked: np.ndarray, rng: np.random.Generator) -> tuple[list[int], np.ndarray]:
        """The block of a record that names these features, in random order, and its story with the end."""
        part = self.opened.part(self.split)
        named = rng.permutation(np.flatnonzero(asked)).tolist()
        return [*self.opened.tokens.line.of(named), *part.block(record).tolist()], part.story(record)

    def _records(self, *more: tuple[str, float], said: bool) -> np.ndarray:
        return drawn_from(self.path, self.split, (*sorted(self.shares.items()), *more), said)


def lengths(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of strings of one story each: tokens of the block, and of block and story without the end. Int[n] each."""
    wanted = batch.targets != IGNORE
    block = wanted.int().argmax(1) + 1
    return block, block + wanted.sum(1) - 1


def _put(row: np.ndarray, tokens: list[int] | np.ndarray, at: int) -> int:
    """Write tokens into a row as far as it goes; gives how many there are."""
    room = max(0, len(row) - at)
    row[at : at + len(tokens)] = tokens[:room]
    return len(tokens)


def _some(of: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return of[rng.choice(len(of), size=n, replace=len(of) < n)]


def _generator(rng: torch.Generator) -> np.random.Generator:
    import torch

    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=rng, device=rng.device).item()))


def _batch(tokens: np.ndarray, targets: np.ndarray) -> Batch:
    import torch

    return Batch(torch.from_numpy(np.ascontiguousarray(tokens)), torch.from_numpy(targets))
