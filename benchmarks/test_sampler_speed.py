"""Drawing training strings, on one core: prompts, answers and targets, as a training gets them."""

from __future__ import annotations

import pytest
from speed.rounds import scaled
from speed.rows import keep, row

from capbench.studies.pcfg.preset import paper, small
from capbench.tasks.correlation import Correlation
from capbench.tasks.pcfg.finetuning import pretraining
from capbench.tasks.pcfg.task import PcfgTask
from capbench.training.loop import batches

BATCHES = 16  # as many as are drawn at once
PRESETS = pytest.mark.parametrize("preset", [small(), paper()], ids=lambda preset: preset.name)


def drawn(benchmark, task, preset, what):
    config = preset.pretraining(BATCHES, 0, "cpu")
    benchmark.pedantic(lambda: list(batches(task, config)), rounds=9, warmup_rounds=1)
    if benchmark.stats is not None:
        each = scaled(benchmark.stats.stats.data, 1000 / BATCHES)
        keep(benchmark, row("sampler", f"{preset.name}, {what}: a batch of {config.batch_size}", each, "ms"))


@PRESETS
def test_pretraining_batches(benchmark, preset):
    drawn(benchmark, pretraining(preset.setting, preset.priors["high"]), preset, "pretraining")


@PRESETS
@pytest.mark.parametrize("family", ["C", "I"])
def test_correlated_batches(benchmark, preset, family):
    """All texts carry the correlation: the costliest fine-tuning data."""
    q = preset.index_q if family == "I" else 1
    correlation = Correlation(o_pt="a", o_ft="b", rate=1.0, q=q)
    task = PcfgTask(setting=preset.setting, prior={"b": 1.0}, family=family, correlation=correlation)
    drawn(benchmark, task, preset, f"{family} with its correlation")
