"""The PCFG Counter experiment at a size that costs nothing: models of 16 dimensions, trained for two steps if at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from capbench.methods.specs.registry import find
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.store.store import Store
from capbench.studies.pcfg.preset import small
from capbench.studies.pcfg.study import PcfgCounter
from capbench.tasks.pcfg.setting import PcfgSetting

TINY = dataclasses.replace(
    small(),
    name="tiny",
    setting=PcfgSetting(text_len=8, numbers={"C": 5, "CC": 5, "I": 2, "IC": 1, "T": 3}),
    d_model=16,
    n_blocks=1,
    n_heads=2,
    batch_size=8,
    pretrain_steps=2,
    finetune_steps=3,
    rates={"large": 2e-2, "medium": 1e-2, "small": 1e-3},
    revive_steps=3,
    revive_every=1,
    watch_every=1,
    longer={},
    anchor_seeds=(0, 1, 2),
    prune_ks=(1, 3),
    random_draws=2,
    n_evaluate=48,
    n_select=32,
    n_watch=16,
    probe_blocks=(16, 32, 64),
)


def study(method: str = "full", **changes: object) -> PcfgCounter:
    """The tiny study, with some of its preset's fields changed."""
    return PcfgCounter(preset=dataclasses.replace(TINY, **changes), method=find(method))  # type: ignore[arg-type]


def built(store: Store, steps: Iterable[Step]) -> None:
    """Make the steps in this process; nothing may fail."""
    assert Plan(steps).run(store, jobs=1) == {}
