"""Probing: activations, and the description length of the answers after every block, all blocks solved together.

Against scikit-learn, where that is installed (`pip install scikit-learn`).
"""

from __future__ import annotations

import pytest
import torch
from speed.rounds import OWN, compared, ratios, scaled
from speed.rows import keep, row

from capbench.measure.probe import Probe, Whitening, code_length, features
from capbench.models.gpt import Gpt
from capbench.studies.pcfg.preset import small
from capbench.tasks.pcfg.task import PcfgTask


@pytest.fixture
def model():
    preset = small()
    return Gpt.initialised(preset.model(preset.setting), torch.Generator().manual_seed(0))


@pytest.fixture
def task():
    return PcfgTask(setting=small().setting, prior={"a": 1.0})


@pytest.fixture
def batch(task):
    return task.sample(small().probe_blocks[-1], torch.Generator().manual_seed(0))


def test_features(benchmark, model, task, batch):
    """The residual stream at the answer, after the embedding and every block."""
    found = compared(benchmark, lambda: features(model, batch, task.answer_pos), {}, rounds=7)
    what = f"small, activations of {len(batch.tokens)} strings"
    keep(benchmark, row("probing", what, scaled(found[OWN], 1000), "ms"))


def test_description_length(benchmark, model, task, batch):
    """The online code of all blocks together, and of one block after another."""
    x, blocks = features(model, batch, task.answer_pos), small().probe_blocks
    labels = batch.targets[:, task.answer_pos] - task.first_answer

    def together():
        return code_length(x, labels, task.n_answers, blocks=blocks)

    def one_by_one():
        return torch.cat([code_length(x[i : i + 1], labels, task.n_answers, blocks=blocks) for i in range(len(x))])

    assert torch.allclose(together(), one_by_one(), rtol=0.02)
    found = compared(benchmark, together, {"one by one": one_by_one}, rounds=5)
    what = f"small, description length of {len(x)} layers, {len(labels)} strings"
    keep(
        benchmark,
        row("probing", what, found[OWN], "s"),
        row(
            "probing",
            f"{what}: speed against one layer after another",
            ratios(found["one by one"], found[OWN]),
            "times",
        ),
    )


def test_logistic_regression(benchmark, model, task, batch):
    """A probe of every layer: scikit-learn's logistic regression with the same prior, on the same whitened features."""
    linear_model = pytest.importorskip(
        "sklearn.linear_model", reason="scikit-learn is not installed: pip install scikit-learn"
    )
    x = features(model, batch, task.answer_pos)
    labels = batch.targets[:, task.answer_pos] - task.first_answer
    whitening = Whitening.fitted(x)

    def together():
        return Probe.fitted(x, labels, task.n_answers, whitening=whitening)

    def by_scikit_learn():
        inputs = whitening(x).numpy()
        return [
            linear_model.LogisticRegression(C=1.0, max_iter=60).fit(layer, labels.numpy()) for layer in inputs
        ]  # C = 1 / prior precision

    ours = together().accuracy(x, labels)
    inputs = whitening(x).numpy()
    theirs = [fit.score(layer, labels.numpy()) for fit, layer in zip(by_scikit_learn(), inputs, strict=True)]
    assert ours.tolist() == pytest.approx(theirs, abs=0.02)
    found = compared(benchmark, together, {"scikit-learn": by_scikit_learn}, rounds=5)
    what = f"small, probes of {len(x)} layers, {len(labels)} strings"
    keep(
        benchmark,
        row("probing", what, scaled(found[OWN], 1000), "ms"),
        row(
            "probing",
            f"{what}: speed against scikit-learn's logistic regression",
            ratios(found["scikit-learn"], found[OWN]),
            "times",
            aim=">= 1",
        ),
    )
