"""The compiled models: training steps, the same through the plain pass of all positions, and their strings. One thread.

Their forward pass, against Tracr's own in Haiku, jitted.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from speed.rounds import OWN, compared, ratios, scaled
from speed.rows import keep, row
from torch.nn import functional as F

from capbench.models.tracr import compile_rasp
from capbench.models.tracr.compiling import from_tracr
from capbench.studies.tracr.preset import paper, small
from capbench.studies.tracr.study import TracrCounter, TracrMax
from capbench.training.loop import fit

STEPS = 20  # per round


@pytest.fixture(scope="module")
def compiled():
    models = {}

    def get(task):
        if task not in models:
            models[task] = compile_rasp(
                task.program(), set(task.alphabet), task.max_content, compiler_bos=task.bos, compiler_pad=task.pad
            )
        return models[task]

    return get


def studies():
    for study, name in ((TracrCounter, "counter"), (TracrMax, "max")):
        for preset in (small(), paper()):
            made = study(preset=preset)
            letters = made.evaluation(made.o_pt, c_te=None).max_content
            yield pytest.param(made, f"{name} of {letters} letters", id=f"{name}-{letters}")


STUDIES = pytest.mark.parametrize(("study", "name"), list(studies()))


@STUDIES
def test_step(benchmark, study, name, compiled):
    """Steps at batch 96, data included, and the same with logits at all positions."""
    before = study.strings(study.o_pt, None, "train")
    task = before.finetuning(study.o_ft, c_tr=0.5, q=study.correlation_offset)
    model, config = compiled(before), replace(study.preset.finetuning("small", 0, "cpu"), steps=STEPS)

    def plain(model, batch, task):
        return F.cross_entropy(model(batch.tokens)[:, task.answer_pos], batch.targets[:, task.answer_pos])

    rivals = {"plain": lambda: fit(model, task, config, loss=plain)}
    found = compared(benchmark, lambda: fit(model, task, config), rivals, rounds=7)
    keep(
        benchmark,
        row("compiled models", f"{name}: a training step", scaled(found[OWN], 1000 / STEPS), "ms"),
        row("compiled models", f"{name}: speed against all positions", ratios(found["plain"], found[OWN]), "times"),
    )


@STUDIES
def test_sampling(benchmark, study, name):
    """The strings of as many steps, drawn as the training loop draws them."""
    task = study.evaluation(study.o_ft, c_te=0.5, split="train")
    rng = torch.Generator().manual_seed(0)
    found = compared(benchmark, lambda: task.sample(STEPS * study.preset.batch_size, rng), {}, rounds=9)
    keep(benchmark, row("compiled models", f"{name}: a batch of strings", scaled(found[OWN], 1000 / STEPS), "ms"))


@STUDIES
def test_forward(benchmark, study, name):
    """A pass over a batch, all positions: ours, and Tracr's own, compiled by jax beforehand, on as many threads as jax takes."""
    import jax
    from tracr.compiler.compiling import compile_rasp_to_model

    task = study.evaluation(study.o_pt, c_te=None)
    theirs = compile_rasp_to_model(
        task.program(), set(task.alphabet), task.max_content, compiler_bos=task.bos, compiler_pad=task.pad
    )
    model = from_tracr(theirs, name).eval()
    tokens = task.sample(study.preset.batch_size, torch.Generator().manual_seed(0)).tokens
    forward, given = jax.jit(theirs.forward), np.asarray(tokens)

    @torch.no_grad()
    def ours():
        return model.run_with_cache(tokens)[1].resid[-1]

    def haiku():
        return forward(theirs.params, given).transformer_output.output.block_until_ready()

    assert np.allclose(ours(), haiku(), atol=1e-3)
    found = compared(benchmark, ours, {"haiku": haiku}, rounds=15)
    keep(
        benchmark,
        row("compiled models", f"{name}: a forward pass", scaled(found[OWN], 1000), "ms"),
        row(
            "compiled models",
            f"{name}: speed against Tracr's own, jitted",
            ratios(found["haiku"], found[OWN]),
            "times",
            aim=">= 1",
        ),
    )
