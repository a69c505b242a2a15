"""Several trainings in one batched pass, against the same trainings one after another. One thread; on a GPU see gpu.py."""

from __future__ import annotations

import pytest
from speed.rounds import OWN, compared, ratios
from speed.rows import keep, row
from speed.steps import Setup

from capbench.studies.pcfg.preset import small, smoke

STEPS = 5


@pytest.mark.parametrize("models", [2, 4, 8])
@pytest.mark.parametrize("preset", [smoke(), small()], ids=lambda preset: preset.name)
def test_stack(benchmark, preset, models):
    """The first losses of each must be the single training's: a fast stack of something else is no stack."""
    setup = Setup.of(preset, steps=STEPS)
    for stacked, single in zip(setup.stacked(models)(), setup.one_by_one(models)(), strict=True):
        assert stacked.losses == pytest.approx(single.losses, rel=1e-3)
    found = compared(benchmark, setup.stacked(models), {"single": setup.one_by_one(models)}, rounds=5)
    what = f"{models} {preset.name} models, CPU, 1 thread: throughput against one after another"
    keep(benchmark, row("stacking", what, ratios(found["single"], found[OWN]), "times"))
