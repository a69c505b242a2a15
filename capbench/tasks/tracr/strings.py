"""Shared by the two Tracr tasks: strings of BOS, content and padding, drawn from a table of lengths and answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.correlation import Correlation
from capbench.tasks.splits import Split, check_split, in_split, share

if TYPE_CHECKING:
    import torch

BOS, PAD = "$", "#"
NO_LETTER = -1  # stands for padding where a letter's index is expected
_PARTS = 16  # 14 parts of all strings train (so training rejects few), 1 selects, 1 evaluates
_EMPTY_DRAWS = 8  # after this many draws without a string of the split it counts as empty


class Plans(NamedTuple):
    """Plans of strings: the content's length and two numbers that the task builds the string around.

    rows: int64 [plan, 3]. below: float64 [plan], the cumulative probability up to and including the plan, 1 at the end.
    """

    rows: np.ndarray
    below: np.ndarray

    @classmethod
    def weighted(cls, rows: np.ndarray, weights: np.ndarray) -> Self:
        """Plans in proportion to their weights [plan]. Plans of weight 0 are omitted, so rounding cannot draw them."""
        possible = weights > 0
        below = np.cumsum(weights[possible])
        return cls(rows[possible], below / below[-1])

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n plans, drawn independently: int64 [3, n]."""
        drawn: np.ndarray = self.rows[np.searchsorted(self.below, rng.random(n), side="right")].T
        return drawn


def shuffled(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Per row, the columns ordered by group (0 to 7) and at random within a group: uint32 [n, column].

    Sorts random keys with the column in their low bits: faster than argsort, and the same on every machine, as no two keys
    are equal.
    """
    n, width = groups.shape
    column = np.uint32(2 ** (width - 1).bit_length() - 1)  # the bits of a column
    keys = rng.integers(2**29, size=(n, width), dtype=np.uint32)
    keys &= ~column
    keys |= np.arange(width, dtype=np.uint32)
    keys |= groups.astype(np.uint32) << np.uint32(29)
    keys.sort(axis=1)
    return keys & column


@dataclass(frozen=True, kw_only=True)
class StringTask(ABC):
    """Strings of '$', content and '#' as padding; the only target is the answer, at the second content position.

    Content: min_content to max_content letters of the alphabet, every length equally likely.
    Tokens:  indices into the sorted alphabet with '#' and '$', as in a program compiled with these as PAD and BOS.
    Targets: the answer's class, an index into `answers`, not a token as in a language model.
    Splits:  by a hash of the content; they are disjoint whatever the seed, padding, operand or correlation.
    """

    min_content: int
    max_content: int
    alphabet: str
    correlation: Correlation | None = None
    split: Split = "train"

    def __post_init__(self) -> None:
        letters = list(self.alphabet)
        if letters != sorted(set(letters)) or {BOS, PAD} & set(letters):
            raise UsageError(f"alphabet {self.alphabet!r} must be distinct letters in order, without {BOS} and {PAD}")
        if not 2 <= self.min_content <= self.max_content:
            raise UsageError(
                f"min_content = {self.min_content} must be at least 2 (the answer is at the second letter) "
                f"and at most max_content = {self.max_content}"
            )
        check_split(self.split)

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def answers(self) -> tuple[str, ...] | tuple[int, ...]:
        """The values of the program's answer, by class."""

    @abstractmethod
    def _plans(self) -> Plans: ...

    @abstractmethod
    def _fill(self, plans: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Contents for plans [3, n]: letter indices, int8 [n, max_content], and answer classes, [n]."""

    # Tokens

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Tokens by id."""
        return tuple(sorted([*self.alphabet, BOS, PAD]))

    @property
    def bos(self) -> str:
        """The token before the content."""
        return BOS

    @property
    def pad(self) -> str:
        """The token after the content."""
        return PAD

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    @property
    def seq_len(self) -> int:
        """Tokens per string: BOS, content and padding."""
        return 1 + self.max_content

    @property
    def answer_pos(self) -> int:
        """Position of the second content letter, BOS being 0."""
        return 2

    @property
    def answer_weight(self) -> float:
        """1: there are no other targets."""
        return 1.0

    def encode(self, letters: Sequence[str]) -> list[int]:
        """Token ids of a content with BOS and padding: seq_len ids. Raises UsageError if it is too long or has other letters."""
        if len(letters) > self.max_content:
            raise UsageError(f"{''.join(letters)!r} has {len(letters)} letters; at most {self.max_content} fit")
        for letter in letters:
            if letter not in tuple(self.alphabet):
                raise UsageError(f"letter {letter!r} is not in the alphabet {self.alphabet!r}")
        return [self.vocabulary.index(t) for t in (BOS, *letters, *PAD * (self.max_content - len(letters)))]

    def decode(self, tokens: Sequence[int]) -> list[str]:
        """The content of a string of tokens: its letters, without BOS and padding."""
        return [word for word in (self.vocabulary[t] for t in tokens) if word not in (BOS, PAD)]

    # Strings

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        """n independent strings; tokens and targets are int64 [n, seq_len]."""
        import torch

        seed = torch.randint(2**62, (1,), generator=rng, device=rng.device).item()
        content, answers = self._strings(n, np.random.default_rng(int(seed)))
        tokens = np.empty((n, self.seq_len), dtype=np.int64)
        tokens[:, 0] = self.vocabulary.index(BOS)
        tokens[:, 1:] = self._token_of[content]
        targets = np.full_like(tokens, IGNORE)
        targets[:, self.answer_pos] = answers
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets))

    def _strings(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        found: list[tuple[np.ndarray, np.ndarray]] = []
        missing = n
        while missing > 0 or not found:
            draw = int(1.05 * missing / share(self.split, _PARTS)) + 16
            content, answers = self._fill(self._table.draw(draw, rng), rng)
            kept = np.flatnonzero(in_split(content, self.split, _PARTS))[:missing]
            found.append((content[kept], answers[kept]))
            missing -= len(kept)
            if missing == n and len(found) >= _EMPTY_DRAWS:
                raise UsageError(
                    f"no string in split {self.split!r}: too few strings have {self.min_content} to "
                    f"{self.max_content} letters; raise max_content"
                )
        content, answers = (np.concatenate(column) for column in zip(*found, strict=True))
        return content, answers

    @cached_property
    def _table(self) -> Plans:
        return self._plans()

    @cached_property
    def _token_of(self) -> np.ndarray:
        """Letter index -> token; the last element (index NO_LETTER) is padding."""
        return np.array([self.vocabulary.index(t) for t in (*self.alphabet, PAD)])
