"""Taking out what a change put there: the mean difference of the streams is projected out everywhere (see directions.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from capbench.measure.attacks.directions import ablated, difference
from capbench.measure.attacks.ground import Ground, Tried, best
from capbench.measure.attacks.places import spread
from capbench.models.base import Model


@dataclass(frozen=True, eq=False)
class Ablation:
    """base, tuned: the models before and after the change, and the questions on which they are compared.

    At which layer the direction is read is chosen on the tuned model; another model loses the same direction.
    """

    base: Model
    tuned: Model
    ground: Ground
    name: ClassVar[str] = "ablation of a direction"
    trains: ClassVar[int] = 0

    def on(self, model: Model, ground: Ground) -> Tried:
        with ablated(model, self._difference[self._layer]) as changed:
            return ground.tried(changed, f"that of layer {self._layer}")

    @cached_property
    def _difference(self) -> Float[Tensor, "layer d_model"]:
        return difference(self.base, self.tuned, self.ground.prompts["train"])

    @cached_property
    def _layer(self) -> int:
        scores = {}
        for block in spread(len(self._difference) - 1, self.ground.effort.places):
            with ablated(self.tuned, self._difference[block + 1]) as changed:
                scores[str(block + 1)] = self.ground.score(changed, "select")
        return int(best(scores))
