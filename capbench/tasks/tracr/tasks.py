"""The paper's Tracr tasks: counting a letter, and finding the k-th largest letter (paper App. B.1, C.1).

Strings are constructed, not filtered: length, answers and correlation are drawn first, from a table of exact probabilities,
and letters are filled in around them. So C_Tr = 0 and 1 are exact, and answers spread over many classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from capbench.errors import UsageError
from capbench.tasks.correlation import Correlation
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.tracr import programs
from capbench.tasks.tracr.strings import NO_LETTER, Plans, StringTask, shuffled

if TYPE_CHECKING:
    from tracr.rasp import rasp


@dataclass(frozen=True, kw_only=True)
class CounterTask(StringTask):
    """How often does the operand occur in the string? Answers 0 to max_content.

    counted: the two letters whose counts are spread, whichever of them is the operand, so that the streams for O_PT and O_FT
    differ only in the question and the correlation. In a string of length L the counts are independent and uniform on 0 to
    L // 2 (the most that leaves room for both), or to largest_count if that is less. With a correlation, a share `rate` of
    the strings has count(o_ft) = count(o_pt) + q. Within these strings, and within the others, all such pairs of counts are
    equally likely, except equal ones if q is not 0: with equal counts an answer does not show which letter was counted.
    All other positions hold the other letters of the alphabet, uniformly. The order is random.
    """

    operand: str = "a"
    counted: tuple[str, str] = ("a", "b")
    largest_count: int | None = None
    alphabet: str = "abcdefghi"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.counted)) != 2 or not set(self.counted) < set(self.alphabet):
            raise UsageError(
                f"counted letters {self.counted!r} must be two letters of the alphabet {self.alphabet!r}, "
                "which needs a third letter as filler"
            )
        _check_relation(self.correlation)
        if self.operand not in self.counted:
            raise UsageError(f"operand {self.operand!r} must be one of the counted letters {self.counted!r}")
        if self.largest_count is not None and self.largest_count < 1:
            raise UsageError(f"largest_count = {self.largest_count} must be at least 1, or None")
        if (c := self.correlation) is None:
            return
        if {c.o_pt, c.o_ft} != set(self.counted):
            raise UsageError(
                f"correlation between {c.o_pt!r} and {c.o_ft!r} must be between the counted letters {self.counted!r}"
            )
        most = int(self._most(np.array(self.min_content)))
        if abs(c.q) > most:
            raise UsageError(
                f"correlation q = {c.q} does not fit strings of min_content = {self.min_content}: their counts "
                f"are at most {most}, so q must be from {-most} to {most}"
            )

    @property
    def name(self) -> str:
        return f"tracr-count({self.operand})"

    @property
    def answers(self) -> tuple[int, ...]:
        return tuple(range(self.max_content + 1))

    def program(self) -> rasp.SOp:
        """The RASP program that computes the answers."""
        return programs.count(self.operand)

    def finetuning(self, o_ft: str, *, c_tr: float, q: int = 1) -> FineTuningTask:
        """From this task's operand to o_ft; count(o_ft) = count(operand) + q in a share c_tr of the strings (App. C.1).

        retain and forget are both this task without correlation: a compiled model can do nothing else.
        """
        correlation = Correlation(o_pt=self.operand, o_ft=o_ft, rate=c_tr, q=q)
        return _finetuning(replace(self, operand=o_ft, correlation=correlation), replace(self, correlation=None))

    def _most(self, length: np.ndarray) -> np.ndarray:
        """The largest count possible for both letters, per length."""
        most: np.ndarray = length // 2
        return most if self.largest_count is None else np.minimum(most, self.largest_count)

    def _plans(self) -> Plans:
        """Rows: length, counts of the two counted letters (with a correlation: of o_pt and of o_ft)."""
        counts = np.arange(self.max_content // 2 + 1)
        rows = _product(np.arange(self.min_content, self.max_content + 1), counts, counts)
        length, first, second = rows.T
        most = self._most(length)
        fits = (first <= most) & (second <= most)
        if self.correlation is not None and self.correlation.q != 0:
            fits &= first != second
        return _planned(rows, fits.astype(float), length, second - first, self.correlation)

    def _fill(self, plans: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        letters = self.counted if self.correlation is None else (self.correlation.o_pt, self.correlation.o_ft)
        one, two = (self.alphabet.index(str(letter)) for letter in letters)
        length, first, second = (column[:, None] for column in plans)
        n, width = plans.shape[1], self.max_content
        others = np.array([i for i in range(len(self.alphabet)) if i not in (one, two)], dtype=np.int8)
        content = others[rng.integers(len(others), size=(n, width), dtype=np.uint8)]
        # Positions in random order, those beyond the length last: the first letter takes the first ones, and so on.
        place = shuffled(np.arange(width) >= length, rng)
        content[place < first + second] = two
        content[place < first] = one
        content[place >= length] = NO_LETTER
        return content, plans[1 + letters.index(self.operand)]


@dataclass(frozen=True, kw_only=True)
class MaxTask(StringTask):
    """Which is the rank-th largest letter of the string, in the order a > b > c …? Answers: the alphabet.

    Letters do not repeat; their order is random. The answer (with a correlation: that of o_ft) is uniform over the letters
    possible at the length; all sets of letters with this answer are equally likely. With a correlation, a share `rate` of the
    strings has index(o_ft-th letter) - index(o_pt-th letter) = q, with indices into the alphabet; the others have any other
    difference. |q| is at least |o_ft - o_pt|, as other letters lie between the two.
    """

    rank: int = 5
    alphabet: str = "abcdefghijklmnopqrstuvwxyz"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_content > len(self.alphabet):
            raise UsageError(
                f"max_content = {self.max_content} must be at most {len(self.alphabet)}: letters do not repeat"
            )
        c = self.correlation
        _check_relation(c)
        ranks: tuple[int | str, ...] = (self.rank,) if c is None else (c.o_pt, c.o_ft)
        for rank in ranks:
            if not isinstance(rank, int) or not 1 <= rank <= self.min_content:
                raise UsageError(f"rank {rank!r} must be a number from 1 to min_content = {self.min_content}")
        if c is None:
            return
        if self.rank not in ranks or c.o_pt == c.o_ft:
            raise UsageError(
                f"correlation between ranks {c.o_pt} and {c.o_ft} must be between two ranks, one of them rank = {self.rank}"
            )
        nearest = int(c.o_ft) - int(c.o_pt)
        spare = len(self.alphabet) - self.max_content  # letters missing from the longest string
        furthest = nearest + (spare if nearest > 0 else -spare)
        if not min(nearest, furthest) <= c.q <= max(nearest, furthest):
            raise UsageError(
                f"correlation q = {c.q} is impossible between ranks {c.o_pt} and {c.o_ft} in strings of up to max_content = "
                f"{self.max_content} letters: q must be from {min(nearest, furthest)} to {max(nearest, furthest)}"
            )
        if spare == 0 and c.rate < 1:
            raise UsageError(
                f"max_content = {self.max_content} uses the whole alphabet, so every such string carries the "
                f"correlation: for rate {c.rate} it must be at most {len(self.alphabet) - 1}"
            )

    @property
    def name(self) -> str:
        return f"tracr-max({self.rank})"

    @property
    def answers(self) -> tuple[str, ...]:
        return tuple(self.alphabet)

    def program(self) -> rasp.SOp:
        """The RASP program that computes the answers."""
        return programs.kth_largest(self.rank)

    def finetuning(self, o_ft: int, *, c_tr: float, q: int) -> FineTuningTask:
        """From this task's rank to o_ft; the o_ft-th letter is q after the rank-th in a share c_tr of strings (App. C.1).

        retain and forget are both this task without correlation: a compiled model can do nothing else.
        """
        correlation = Correlation(o_pt=self.rank, o_ft=o_ft, rate=c_tr, q=q)
        return _finetuning(replace(self, rank=o_ft, correlation=correlation), replace(self, correlation=None))

    @property
    def _ranks(self) -> tuple[int, int]:
        """The two ranks that a string is built around, in order. Without a correlation the first is rank 0, whose letter
        precedes the alphabet."""
        if self.correlation is None:
            return 0, self.rank
        low, high = sorted((int(self.correlation.o_pt), int(self.correlation.o_ft)))
        return low, high

    def _plans(self) -> Plans:
        """Rows: length, letters of the two ranks."""
        low, high = self._ranks
        size = len(self.alphabet)
        letters = np.arange(size)
        rows = _product(np.arange(self.min_content, self.max_content + 1), letters if low else np.array([-1]), letters)
        length, first, second = rows[rows[:, 1] < rows[:, 2]].T
        # The number of letter sets: choices below, between and above the two.
        choose = np.array([[math.comb(n, k) for k in range(size + 1)] for n in range(size + 1)], dtype=float)
        sets = choose[second - first - 1, high - low - 1] * choose[size - 1 - second, length - high]
        if low:
            sets *= choose[first, low - 1]
        c = self.correlation
        asked = second if c is None or c.o_ft == high else first
        difference = second - first if asked is second else first - second
        return _planned(np.stack([length, first, second], axis=1), sets, length, difference, c, uniform=asked)

    def _fill(self, plans: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        low, high = self._ranks
        length, first, second = (column[:, None] for column in plans)
        letter = np.arange(len(self.alphabet), dtype=np.int8)
        # All letters: those below the first in random order, the first, those between, the second, those above. The ranks
        # give how many are chosen from each group.
        group = (letter >= first).astype(np.uint8)
        for after in (letter > first, letter >= second, letter > second):
            group += after
        mixed = shuffled(group, rng)
        chosen = letter < low - 1
        chosen = chosen | ((letter >= first) & (letter < first + high - low))
        chosen |= (letter >= second) & (letter <= second + length - high)
        order = shuffled(~chosen, rng)[:, : self.max_content]
        content = np.take_along_axis(mixed, order, axis=1).astype(np.int8)
        content[letter[: self.max_content] >= length] = NO_LETTER
        return content, plans[1 if self.rank == low else 2]


def _check_relation(correlation: Correlation | None) -> None:
    if correlation is not None and correlation.relation != "offset":
        raise UsageError(f"correlation {correlation.relation!r}: the Tracr tasks support only 'offset'")


def _finetuning(target: StringTask, before: StringTask) -> FineTuningTask:
    return FineTuningTask(target=target, retain=before, forget=before)


def _product(*axes: np.ndarray) -> np.ndarray:
    """All combinations of one value per axis: [combination, axis]."""
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _planned(
    rows: np.ndarray,
    sizes: np.ndarray,
    length: np.ndarray,
    difference: np.ndarray,
    correlation: Correlation | None,
    *,
    uniform: np.ndarray | None = None,
) -> Plans:
    """Plans with every length equally likely, and within each length the correlation at its rate.

    Among the strings of one length with the correlation (and among those without), rows are drawn in proportion to their
    size. With `uniform` [row], its values are equally likely, and rows of the same value in proportion to their size.
    """
    value = np.zeros_like(length) if uniform is None else uniform - uniform.min()
    carries = np.zeros(len(rows), dtype=bool) if correlation is None else difference == correlation.q
    rate = 0.0 if correlation is None else correlation.rate
    weights = np.zeros(len(rows))
    for here, probability in ((carries, rate), (~carries, 1 - rate)):
        mine = np.where(here, sizes, 0.0)
        total = np.zeros((length.max() + 1, value.max() + 1))  # by length and value
        np.add.at(total, (length, value), mine)
        values = np.maximum((total > 0).sum(axis=1), 1)  # by length
        weights += probability * mine / np.where(total > 0, total, 1)[length, value] / values[length]
    return Plans.weighted(rows, weights)
