"""Speed of the Tracr set-up: `pytest benchmarks/test_tracr_speed.py`. One thread. Read ratios within one run."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from capbench.models.tracr import compile_rasp
from capbench.pipeline.cores import limit_threads
from capbench.presets.tracr import paper, small
from capbench.protocols.tracr import TracrCounter, TracrMax
from capbench.training import fit

STEPS = 20  # per round


@pytest.fixture(autouse=True)
def one_thread():
    limit_threads()


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
            yield pytest.param(made, id=f"{name}-{made.evaluation(made.o_pt, c_te=None).max_content}")


STUDIES = tuple(studies())


@pytest.mark.parametrize("study", STUDIES)
def test_training_step(benchmark, study, compiled):
    """Twenty steps at batch 96, data included."""
    before = study.strings(study.o_pt, None, "train")
    task = before.finetuning(study.o_ft, c_tr=0.5, q=study.correlation_offset)
    model, config = compiled(before), study.preset.finetuning("small", 0, "cpu")
    benchmark.extra_info["steps"] = STEPS
    benchmark.pedantic(lambda: fit(model, task, replace(config, steps=STEPS)), rounds=10, warmup_rounds=1)


@pytest.mark.parametrize("study", STUDIES)
def test_plain_training_step(benchmark, study, compiled):
    """The same through the plain forward pass of all positions: what the factorised one is measured against."""
    before = study.strings(study.o_pt, None, "train")
    task = before.finetuning(study.o_ft, c_tr=0.5, q=study.correlation_offset)
    model, config = compiled(before), study.preset.finetuning("small", 0, "cpu")

    def loss(model, batch, task):
        return F.cross_entropy(model(batch.tokens)[:, task.answer_pos], batch.targets[:, task.answer_pos])

    benchmark.extra_info["steps"] = STEPS
    benchmark.pedantic(lambda: fit(model, task, replace(config, steps=STEPS), loss=loss), rounds=5, warmup_rounds=1)


@pytest.mark.parametrize("study", STUDIES)
def test_sampling(benchmark, study):
    """The strings of as many steps, drawn as the training loop draws them."""
    task = study.evaluation(study.o_ft, c_te=0.5, split="train")
    rng = torch.Generator().manual_seed(0)
    benchmark.extra_info["steps"] = STEPS
    benchmark(lambda: task.sample(STEPS * study.preset.batch_size, rng))
