"""The story experiment at a size that costs nothing: models of 16 dimensions, trained for two steps if at all."""

from __future__ import annotations

import dataclasses

from capbench.methods.specs.registry import find
from capbench.pipeline.steps import Step
from capbench.studies.stories.preset import smoke
from capbench.studies.stories.study import StoriesStudy
from capbench.studies.stories.tools import TOOLBOX

TINY = dataclasses.replace(
    smoke(),
    name="tiny",
    d_model=16,
    n_blocks=1,
    batch_size=4,
    pretrain_steps=2,
    finetune_steps=2,
    relearn_steps=(1, 2),
    table_steps=(0, 1, 2, 3),
    watch_every=1,
    n_tell=2,
    n_evaluate=12,
    n_select=12,
    n_watch=4,
    probe_blocks=(8, 12),
    search_strings=8,
    random_draws=1,
)


def study(method: str = "full", *, target: str = "Twist", **changes: object) -> StoriesStudy:
    """The tiny study, with some of its preset's fields changed."""
    preset = dataclasses.replace(TINY, **changes)  # type: ignore[arg-type]
    return StoriesStudy(preset=preset, method=find(method), target=target, toolbox=TOOLBOX)


def steps(of: StoriesStudy, seed: int = 0, protocol: str = "mix-match") -> dict[str, Step]:
    """Every model of the study that a reading takes, by the name that it has there."""
    tuned = of.deleted(seed, protocol=protocol, lr="medium")
    twin = of.deleted(seed, protocol=protocol, lr="medium", never=True)
    after = of.relearnt(tuned, seed, lr="medium", steps=2)
    return {"base": tuned.base, "tuned": tuned, "never": twin.base, "twin": twin, "reft_2": after}
