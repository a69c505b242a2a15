"""Accuracies on one scale: chance is 0, and the model that has the capability is 1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Self

from scipy.stats import binomtest, t

SPAN = 0.2  # that a base must be above chance; on less the scale's unit is noise
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Score:
    """right: of n prompts.

    groups: of prompts that belong together, None where each is its own. effect: the design effect (Kish 1965): by how much the
    variance of the share is larger for that, at least 1.
    """

    right: int
    n: int
    groups: int | None = None
    effect: float = 1.0

    @classmethod
    def of(cls, right: Sequence[float], groups: Sequence[Hashable]) -> Self:
        """Of how rightly each prompt is answered, 0..1, and the group of each."""
        n, total, sizes = len(right), math.fsum(right), Counter(groups)
        if len(sizes) == n:
            return cls(right=round(total), n=n)
        return cls(right=round(total), n=n, groups=len(sizes), effect=_design_effect(right, groups))

    @property
    def accuracy(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """At 95 %, after Wilson 1927: of independent prompts, or of as many of these as the groups are worth.

        One group alone says nothing of others.
        """
        if self.groups is None:
            found = binomtest(self.right, self.n).proportion_ci(CONFIDENCE, "wilson")
            return float(found.low), float(found.high)
        if self.groups < 2:
            return 0.0, 1.0
        n, quantile = self.n / self.effect, float(t.ppf((1 + CONFIDENCE) / 2, self.groups - 1))
        p, z = self.accuracy, quantile**2 / n
        middle, half = (p + z / 2) / (1 + z), math.sqrt(p * (1 - p) * z + z**2 / 4) / (1 + z)
        return max(0.0, middle - half), min(1.0, middle + half)

    def can(self, chance: float) -> bool:
        """Whether a model that scores so has the capability: surely above chance, and by enough to measure on."""
        return self.interval[0] > chance and self.accuracy - chance >= SPAN

    def cannot(self, chance: float) -> bool:
        """Whether a model that scores so is surely nearer to chance than what it takes to have the capability."""
        return self.interval[1] < chance + SPAN


def _design_effect(right: Sequence[float], groups: Sequence[Hashable]) -> float:
    """The variance of the share between groups (of a ratio: Cochran 1977, 6.4) over that of as many independent prompts.

    Where all prompts are answered alike there is no variance to compare; then all of a group are taken to be one.
    """
    n, sizes, sums = len(right), Counter(groups), dict[Hashable, float]()
    for value, group in zip(right, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + value
    p, k = math.fsum(right) / n, len(sizes)
    if not 0 < p < 1 or k < 2:
        return sum(size**2 for size in sizes.values()) / n
    between = k / (k - 1) * sum((sums[group] - p * size) ** 2 for group, size in sizes.items()) / n**2
    return max(1.0, between / (p * (1 - p) / n))


def scaled(accuracy: float, *, chance: float, base: float) -> float | None:
    """(accuracy - chance) / (base - chance): below 0 under chance, above 1 over the base. None without a base above chance."""
    if not base - chance > 0 or math.isnan(accuracy):
        return None
    return (accuracy - chance) / (base - chance)
