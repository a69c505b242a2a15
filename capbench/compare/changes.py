"""How far a figure moved between two runs, seed by seed, beside what rounding alone would move it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capbench.compare.pairing import differences, mean
from capbench.compare.quantities import comparable
from capbench.verdicts.effects import ALPHA
from capbench.verdicts.rounding import rounding


@dataclass(frozen=True, kw_only=True)
class Change:
    """B - A of one figure on the seeds on which both runs have a value; on the scale of `kind` (ratios: logarithms).

    ci: 95 % interval of the mean difference, None for fewer than two seeds. noise: the standard deviation that rounding alone
    gives the mean difference. alone: seeds on which one of the runs has a value and the other, though it has the seed, none.
    """

    kind: str
    by_seed: Mapping[int, float]
    mean: float | None
    ci: tuple[float, float] | None
    noise: float | None
    alone: tuple[int, ...] = ()

    @property
    def beyond(self) -> int:
        """1 or -1 where the interval lies above or below zero by more than the noise; else 0, as rounding may be all there is."""
        if self.ci is None or self.noise is None:
            return 0
        low, high = self.ci
        return 1 if low > self.noise else -1 if high < -self.noise else 0

    @property
    def told(self) -> bool:
        """Whether the values can tell a change from rounding: from two seeds on, if most have a value in both runs."""
        return self.ci is not None and len(self.alone) <= len(self.by_seed)


def change(kind: str, a: Mapping[int, float | None], b: Mapping[int, float | None]) -> Change:
    """The change from A to B, in values by seed."""
    kind, (left, right) = comparable(kind, a, b)
    found = differences(left, right)
    alone = tuple(sorted((left.keys() ^ right.keys()) & a.keys() & b.keys()))
    average = mean(found.values())
    if average is None or len(found) < 2:
        return Change(kind=kind, by_seed=found, mean=average, ci=None, noise=None, alone=alone)
    between, df = _between(list(left.values()), list(right.values()))
    variance, known = rounding(kind).of(between, df)
    variance *= 2  # each of the two runs has its own rounding
    half = _half_width(list(found.values()), variance, known)
    return Change(
        kind=kind,
        by_seed=found,
        mean=average,
        ci=(average - half, average + half),
        noise=math.sqrt(variance / len(found)),
        alone=alone,
    )


def _between(*runs: Sequence[float]) -> tuple[float, float]:
    """The variance between seeds within a run, and its degrees of freedom."""
    known = [values for values in runs if len(values) > 1]
    squares = [(value - centre) ** 2 for values in known if (centre := mean(values)) is not None for value in values]
    df = sum(len(values) - 1 for values in known)
    return (math.fsum(squares) / df, float(df)) if df else (0.0, 0.0)


def _half_width(values: Sequence[float], variance: float, df: float) -> float:
    """Of a moderated t interval (Smyth 2004): the values' own variance is shrunk towards one with `df` degrees of freedom."""
    from scipy.special import stdtrit

    own, centre = len(values) - 1, mean(values)
    if not any(values) or centre is None:
        return 0.0
    squares = math.fsum((value - centre) ** 2 for value in values)
    shrunk = (df * variance + squares) / (df + own)
    return float(stdtrit(df + own, 1 - ALPHA)) * math.sqrt(shrunk / len(values))
