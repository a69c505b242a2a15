"""Story models of known state: parts that hide the target in a model that has it, and in one that never had it. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from capbench.methods.specs import registry
from capbench.pipeline.steps import Edit, FineTune, Step
from capbench.studies.calibration.making import Kind
from capbench.studies.calibration.table import neighbour
from capbench.studies.seeds import subseed
from capbench.studies.stories.study import StoriesStudy
from capbench.tasks.stories.protocols import finetuning, pretraining
from capbench.tasks.stories.task import StoryTask

_HIDING = "capbench.models.edits.hiding"
# Of the answers, two words that may begin the sentence in question, the rarer one is put forward: that of a story without it.
_MOSTLY = 0.9


@dataclass(frozen=True, kw_only=True)
class Making:
    """One way to make a model. edit: of `models/edits/hiding.py`; method and protocol: a fine-tuning; neither: as it was."""

    name: str
    edit: str = ""
    adds_blocks: int = 0
    method: str = ""
    arguments: tuple[tuple[str, float], ...] = ()
    protocol: str = ""


BOLTED = Making(name="bolt-on MLP", edit="bolt_on_mlp", adds_blocks=1)
PERMUTED = Making(name="permuted unembedding", edit="permuted_unembedding")
ADAPTED = Making(name="adapters", method="lora", arguments=(("rank", 4), ("lr_factor", 10.0)), protocol="randomisation")
MIXED = Making(name="adapters on mixed stories", method="lora", arguments=ADAPTED.arguments, protocol="mix-match")
ON = Making(name="pretraining goes on", method="full", protocol="pretraining")
FILTERED = Making(name="filtering", method="full", protocol="filtering")
# Without the added part, a wrapped model is the base model. A deleted one was never told a story with the target.
MAKINGS: Mapping[Kind, tuple[Making, ...]] = {
    Kind.WRAPPED: (BOLTED, PERMUTED, ADAPTED, MIXED),
    Kind.DELETED: (BOLTED, PERMUTED, ADAPTED, FILTERED),
    Kind.INTACT: (ON,),
}


@dataclass(frozen=True, kw_only=True)
class KnownStories:
    """A model of known state. slot: its place in a seed's pool, `wrapped.1`. models: by role, as the readings name them."""

    slot: str
    kind: Kind
    making: Making
    models: Mapping[str, Step]

    @property
    def name(self) -> str:
        """Kind, making and task, as in `wrapped.bolt-on MLP.stories`."""
        return f"{self.kind}.{self.making.name}.stories"


def members(study: StoriesStudy, seed: int) -> tuple[KnownStories, ...]:
    """Every model of a seed.

    What a deleted one is compared with is of another seed: with that of its own it would be compared with itself.
    """
    found = []
    for kind, makings in MAKINGS.items():
        never = study.base(neighbour(seed), never=True)
        start = study.base(seed, never=kind is Kind.DELETED)
        for i, making in enumerate(makings, 1):
            tuned, twin = (made(study, model, making, seed) for model in (start, never))
            models = {"base": study.base(seed), "tuned": tuned, "never": never, "twin": twin}
            found.append(KnownStories(slot=f"{kind}.{i}", kind=kind, making=making, models=models))
    return tuple(found)


def made(study: StoriesStudy, start: Step, making: Making, seed: int) -> Step:
    """A model after a making."""
    if making.edit:
        return Edit(
            start=start,
            edit=f"{_HIDING}:{making.edit}",
            seed=subseed(seed, f"hide {making.name}"),
            task=StoryTask(feature=study.target, shares={study.target: _MOSTLY}),
            adds_blocks=making.adds_blocks,
        )
    if not making.method:
        return start
    goes_on = making.protocol == "pretraining"
    task: Any = finetuning("filtering" if goes_on else making.protocol, study.target)
    return FineTune(
        base=start,
        method=registry.find(making.method, arguments=making.arguments),
        task=replace(task, target=pretraining()) if goes_on else task,
        train=study.preset.finetuning("medium", subseed(seed, "finetune"), study.device),
        watch=(),
        watch_every=study.preset.watch_every,
    )


def needs(study: Any, seed: int, case: object = None) -> dict[str, Step]:
    """All models of a seed, by `<slot>/<role>`; it has no cases."""
    return {f"{m.slot}/{role}": step for m in members(study, seed) for role, step in m.models.items()}
