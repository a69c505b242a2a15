"""Giving back what a change took away: the mean difference of the streams before and after it is added (see directions.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from capbench.measure.attacks.directions import difference, steered
from capbench.measure.attacks.ground import Ground, Tried, best
from capbench.measure.attacks.places import spread
from capbench.models.base import Model


@dataclass(frozen=True, eq=False)
class Steering:
    """base, tuned: the models before and after the change, and the questions on which they are compared.

    After which block, and how much is added, is chosen on the tuned model; another model is given the same.
    """

    base: Model
    tuned: Model
    ground: Ground
    name: ClassVar[str] = "steering by what the base has more"
    trains: ClassVar[int] = 0

    def on(self, model: Model, ground: Ground) -> Tried:
        block, scale = self._chosen
        with steered(model, self._difference[block + 1], block=block, scale=scale) as changed:
            return ground.tried(changed, f"after block {block + 1}, times {scale:g}")

    @cached_property
    def _difference(self) -> Float[Tensor, "layer d_model"]:
        return difference(self.base, self.tuned, self.ground.prompts["train"])

    @cached_property
    def _chosen(self) -> tuple[int, float]:
        effort, scores = self.ground.effort, {}
        for block in spread(len(self._difference) - 1, effort.places):
            for scale in effort.scales:
                with steered(self.tuned, self._difference[block + 1], block=block, scale=scale) as changed:
                    scores[f"{block} {scale}"] = self.ground.score(changed, "select")
        block_of, scale_of = best(scores).split()
        return int(block_of), float(scale_of)
