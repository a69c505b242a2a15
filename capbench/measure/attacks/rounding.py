"""Rounding the weights to a few bits, which can undo a small change (Zhang et al. 2024, arXiv 2410.16454)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from capbench.measure.attacks.ground import Ground, Tried
from capbench.measure.attacks.quantise import quantised
from capbench.models.base import Model


@dataclass(frozen=True)
class Rounding:
    """Row by row, to so many bits."""

    bits: int
    trains: ClassVar[int] = 0

    @property
    def name(self) -> str:
        return f"rounding to {self.bits} bits"

    def on(self, model: Model, ground: Ground) -> Tried:
        return ground.tried(quantised(model, bits=self.bits))
