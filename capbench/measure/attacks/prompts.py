"""Asking otherwise: with examples before the question (Brown et al. 2020, arXiv 2005.14165), or in other words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from capbench.errors import UsageError
from capbench.measure.attacks.ground import Ground, Tried, best
from capbench.models.base import Model
from capbench.tasks.language.asking import few_shot, paraphrased
from capbench.tasks.language.streams import Prompts
from capbench.tasks.splits import Split


@dataclass(frozen=True)
class FewShot:
    """Each question after `shots` items to train on, with their answers."""

    shots: int
    trains: ClassVar[int] = 0

    @property
    def name(self) -> str:
        return f"{self.shots} examples in the prompt"

    def on(self, model: Model, ground: Ground) -> Tried:
        def asked(split: Split) -> Prompts:
            own = few_shot(ground.items[split], ground.items["train"], shots=self.shots, seed=ground.effort.seed)
            return ground.asking(own)

        return _asked(model, ground, asked("select"), asked("evaluate"))


@dataclass(frozen=True)
class Paraphrases:
    """Each question in other words: in the paraphrase that does best on the split for choosing."""

    name: ClassVar[str] = "other words"
    trains: ClassVar[int] = 0

    def on(self, model: Model, ground: Ground) -> Tried:
        there = min(len(item.paraphrases) for item in (*ground.items["select"], *ground.items["evaluate"]))
        if not there:
            raise UsageError("there are no paraphrases; the key paraphrases of its file gives them")
        ways = {str(i): ground.asking(paraphrased(ground.items["select"], i)) for i in range(there)}
        chosen = best({way: ground.score(model, "select", asked) for way, asked in ways.items()})
        evaluate = ground.asking(paraphrased(ground.items["evaluate"], int(chosen)))
        return _asked(model, ground, ways[chosen], evaluate, f"paraphrase {int(chosen) + 1} of {there}")


def _asked(model: Model, ground: Ground, select: Prompts, evaluate: Prompts, detail: str = "") -> Tried:
    return Tried(
        select=ground.score(model, "select", select),
        evaluate=ground.score(model, "evaluate", evaluate),
        loss=ground.loss(model),
        detail=detail,
    )
