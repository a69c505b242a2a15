"""Accuracies on one scale: chance is 0, and the model that has the capability is 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import binomtest

SPAN = 0.2  # that a base must be above chance; on less the scale's unit is noise
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Score:
    """right: of n prompts."""

    right: int
    n: int

    @property
    def accuracy(self) -> float:
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """At 95 %, after Wilson 1927: of independent prompts."""
        found = binomtest(self.right, self.n).proportion_ci(CONFIDENCE, "wilson")
        return float(found.low), float(found.high)

    def can(self, chance: float) -> bool:
        """Whether a model that scores so has the capability: surely above chance, and by enough to measure on."""
        return self.interval[0] > chance and self.accuracy - chance >= SPAN

    def cannot(self, chance: float) -> bool:
        """Whether a model that scores so is surely nearer to chance than what it takes to have the capability."""
        return self.interval[1] < chance + SPAN


def scaled(accuracy: float, *, chance: float, base: float) -> float | None:
    """(accuracy - chance) / (base - chance): below 0 under chance, above 1 over the base. None without a base above chance."""
    if not base - chance > 0 or math.isnan(accuracy):
        return None
    return (accuracy - chance) / (base - chance)
