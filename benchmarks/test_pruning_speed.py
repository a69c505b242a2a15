"""Pruning: scores of all neurons, and the curves of pruned and of random ones. Against torch.nn.utils.prune."""

from __future__ import annotations

import copy

import pytest
import torch
from speed.rounds import OWN, compared, ratios, scaled
from speed.rows import keep, row
from torch.nn.utils import prune as torch_prune

from capbench.measure.accuracy import accuracy, sample
from capbench.measure.prune import prune_and_evaluate, pruned, relevance
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


def test_pruned_models(benchmark, model):
    """The accuracy after pruning the first 1, 2, 4 … neurons of a ranking: ours, and with torch's masks."""
    study, preset = PcfgCounter(preset=small()), small()
    task = study.evaluation("a", c_te=0)
    batch = sample(task, preset.n_evaluate, 1)
    ranking = [unit for _, unit in relevance(model, task, batch)]

    def ours():
        return [accuracy(pruned(model, ranking[:k]), task, batch) for k in preset.prune_ks]

    def by_torch():
        return [accuracy(masked(model, ranking[:k]), task, batch) for k in preset.prune_ks]

    assert ours() == pytest.approx(by_torch(), abs=1 / preset.n_evaluate)
    found = compared(benchmark, ours, {"torch": by_torch}, rounds=7)
    what = f"small, {len(preset.prune_ks)} pruned models and their accuracies"
    keep(
        benchmark,
        row("pruning", what, scaled(found[OWN], 1000), "ms"),
        row(
            "pruning",
            f"{what}: speed against torch.nn.utils.prune",
            ratios(found["torch"], found[OWN]),
            "times",
            aim=">= 1",
        ),
    )


def masked(model, units):
    """A copy of the model with these rows masked by torch, as its documentation has it."""
    model = copy.deepcopy(model)
    linears = model.neurons()
    for name in {name for name, _ in units}:
        mask = torch.ones_like(linears[name].weight)
        mask[[row for other, row in units if other == name]] = 0
        torch_prune.custom_from_mask(linears[name], "weight", mask)
    return model
