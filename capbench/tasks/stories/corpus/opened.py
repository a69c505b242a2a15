"""Prepared stories, read again: mapped into memory, so that processes share them and only what is drawn is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.splits import Split
from capbench.tasks.stories.corpus.preparing import SAID, TOKENIZER
from capbench.tasks.stories.corpus.tokenising import Tokens
from capbench.tasks.stories.features import FEATURES, index_of


@dataclass(frozen=True)
class Part:
    """The records of a part. tokens: uint16 [token]; ends: int64 [2 records + 1], of block and story, one after the other.

    features: uint8 [record], a bit for each of FEATURES and one that the block says them.
    """

    tokens: np.ndarray
    ends: np.ndarray
    features: np.ndarray

    @classmethod
    def of(cls, folder: Path, part: str) -> Part:
        try:
            return cls(
                tokens=np.memmap(folder / f"{part}.tokens", dtype="<u2", mode="r"),
                ends=np.load(folder / f"{part}.ends.npy", mmap_mode="r"),
                features=np.load(folder / f"{part}.features.npy"),
            )
        except OSError as error:
            raise UsageError(
                f"{folder}: the prepared stories are gone ({error.strerror}); start the run anew"
            ) from None

    def block(self, record: int) -> np.ndarray:
        """The block without its line of features, up to the story, uint16 [token]."""
        return self.tokens[self.ends[2 * record] : self.ends[2 * record + 1]]

    def story(self, record: int) -> np.ndarray:
        """The story and its end, uint16 [token]."""
        return self.tokens[self.ends[2 * record + 1] : self.ends[2 * record + 2]]

    def told(self, records: np.ndarray) -> np.ndarray:
        """Which features records have, bool [record, feature]; none where their blocks do not say."""
        found: np.ndarray = (self.features[records, None] >> np.arange(len(FEATURES))) & 1 == 1
        return found


@dataclass(frozen=True)
class Opened:
    """A prepared folder."""

    folder: Path

    @cached_property
    def tokens(self) -> Tokens:
        """Its vocabulary."""
        return Tokens.read(self.folder / TOKENIZER)

    @cached_property
    def train(self) -> Part:
        return Part.of(self.folder, "train")

    @cached_property
    def valid(self) -> Part:
        return Part.of(self.folder, "valid")

    def part(self, split: Split) -> Part:
        """Where the records of a split lie: the training file, or that of held-out ones."""
        return self.train if split == "train" else self.valid

    def records(self, split: Split, shares: tuple[tuple[str, float], ...], *, said: bool) -> np.ndarray:
        """The records of a split that have these features or lack them, int64 [record]. Of the held-out ones, those with an even

        number select and the others evaluate. said: only those whose blocks say their features; they must where any is asked for.
        """
        features = self.part(split).features
        here = np.ones(len(features), dtype=bool)
        if split != "train":
            here[(1 if split == "select" else 0) :: 2] = False
        if said or shares:
            here &= features & SAID != 0
        for feature, share in shares:
            here &= (features >> index_of(feature)) & 1 == int(share)
        return np.flatnonzero(here)


@lru_cache(maxsize=4)
def opened(path: str) -> Opened:
    """The prepared folder at a path, opened once in a process."""
    return Opened(Path(path))


@lru_cache(maxsize=64)
def drawn_from(path: str, split: Split, shares: tuple[tuple[str, float], ...], said: bool) -> np.ndarray:
    """`Opened.records`, found once. Raises UsageError where there is none."""
    found = opened(path).records(split, shares, said=said)
    if not len(found):
        wanted = " and ".join(f"{'with' if share else 'without'} {feature}" for feature, share in shares)
        raise UsageError(f"no story {wanted or 'whose features are known'} is there to {split}")
    found.setflags(write=False)
    return found


@lru_cache(maxsize=256)
def how_many(path: str, split: Split, feature: str, share: float) -> int:
    """The number of records of a split that say that they have a feature (share 1) or that they lack it (0), counted once."""
    return len(opened(path).records(split, ((feature, share),), said=True))
