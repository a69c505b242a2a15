"""Relearning without any item of the capability: on text to keep alone, or on true facts that have nothing to do with it.

What comes back that way was there (Lucki et al. 2024, arXiv 2409.18025; Hu et al. 2024, arXiv 2406.13356; retain data alone:
arXiv 2505.22310).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from capbench.measure.attacks.ground import Ground, Tried
from capbench.measure.attacks.relearning import after
from capbench.models.base import Model


@dataclass(frozen=True)
class RetainOnly:
    """Training on text that the change was to leave alone."""

    rate: float
    steps: int
    name: ClassVar[str] = "training on other text"

    @property
    def trains(self) -> int:
        return self.steps

    def on(self, model: Model, ground: Ground) -> Tried:
        return after(model, ground, ground.retain, lr=self.rate, beside=False)


@dataclass(frozen=True)
class Unrelated:
    """Training on true facts that have nothing to do with the capability, as many as it has items to train on."""

    rate: float
    steps: int
    name: ClassVar[str] = "training on unrelated facts"

    @property
    def trains(self) -> int:
        return self.steps

    def on(self, model: Model, ground: Ground) -> Tried:
        return after(model, ground, ground.unrelated(), lr=self.rate)
