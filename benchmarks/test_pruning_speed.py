"""Pruning: scores of all neurons, and the curves of pruned and of random ones."""

from __future__ import annotations

import pytest
import torch
from speed.rounds import OWN, compared, scaled
from speed.rows import keep, row

from capbench.measure.accuracy import sample
from capbench.measure.prune import prune_and_evaluate, relevance
from capbench.models.gpt import Gpt
from capbench.studies.pcfg.preset import small
from capbench.studies.pcfg.study import PcfgCounter


@pytest.fixture
def model():
    preset = small()
    return Gpt.initialised(preset.model(preset.setting), torch.Generator().manual_seed(0))


def test_relevance(benchmark, model):
    """One forward and backward pass."""
    task = PcfgCounter(preset=small()).evaluation("a", c_te=None, split="select")
    batch = sample(task, small().n_select, 0)
    found = compared(benchmark, lambda: relevance(model, task, batch), {}, rounds=7)
    keep(benchmark, row("pruning", "small, scores of all neurons", scaled(found[OWN], 1000), "ms"))


def test_pruning(benchmark, model):
    """All that the claims on pruning need of one model."""
    study, preset = PcfgCounter(preset=small()), small()
    pretraining, finetuning = study.evaluation("a", c_te=0), study.evaluation("b", c_te=1)
    select = sample(study.evaluation("a", c_te=None, split="select"), preset.n_select, 0)
    evaluate, other = (sample(task, preset.n_evaluate, 1) for task in (pretraining, finetuning))

    def prune():
        return prune_and_evaluate(
            model,
            pretraining=pretraining,
            finetuning=finetuning,
            select=select,
            evaluate=evaluate,
            evaluate_finetuning=other,
            ks=preset.prune_ks,
            most=preset.prune_most,
            random_draws=preset.random_draws,
            rng=torch.Generator().manual_seed(0),
        )

    found = compared(benchmark, prune, {}, rounds=3)
    keep(benchmark, row("pruning", "small, curves of pruned and of random neurons", found[OWN], "s"))
