"""Relearning on items of the capability itself (reFT): those to train on, of which the items that are asked are none.

Of facts that is relearning T and scoring V: as no fact tells another, what comes back on V was there (Deeb and Roger 2024, arXiv
2410.08827). Of a skill, a few steps may teach it; whether they do shows on a rule that the model never had.
"""

from __future__ import annotations

from dataclasses import dataclass

from capbench.measure.attacks.ground import Ground, Tried
from capbench.measure.attacks.relearning import after, last_blocks, low_rank
from capbench.models.base import Model


@dataclass(frozen=True)
class Reft:
    """At one learning rate. with_lora: by low-rank updates of all blocks, else the last third of the blocks."""

    rate: float
    steps: int
    with_lora: bool = False

    @property
    def name(self) -> str:
        return "relearning with LoRA" if self.with_lora else f"relearning at {self.rate:g}"

    @property
    def trains(self) -> int:
        return self.steps

    def on(self, model: Model, ground: Ground) -> Tried:
        how = low_rank if self.with_lora else last_blocks
        detail = "" if self.with_lora else f"{self.steps} steps"
        return after(model, ground, ground.prompts["train"], lr=self.rate, how=how, detail=detail)
