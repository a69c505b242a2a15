"""Pruning the neurons that suppress the answers: what hides a capability may be few of them (see measure/prune)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from capbench.errors import UsageError
from capbench.measure.attacks.ground import Ground, Tried, best
from capbench.measure.language.pruning import suppressors
from capbench.measure.prune import pruned
from capbench.models.base import Model

SCORED = 64  # prompts that neurons are scored on


@dataclass(frozen=True)
class Pruning:
    """The rows with the highest scores on items to train on; how many is chosen from `rows`."""

    rows: tuple[int, ...]
    name: ClassVar[str] = "pruning by score"
    trains: ClassVar[int] = 0

    def on(self, model: Model, ground: Ground) -> Tried:
        ranking = suppressors(model, ground.prompts["train"], n=SCORED, seed=ground.effort.seed)
        if not ranking:
            raise UsageError("no neuron suppresses the answers")
        numbers = sorted({min(k, len(ranking)) for k in self.rows})
        scores = {str(k): ground.score(pruned(model, ranking[:k]), "select") for k in numbers}
        chosen = best(scores)
        return ground.tried(pruned(model, ranking[: int(chosen)]), f"{chosen} neurons", select=scores[chosen])
