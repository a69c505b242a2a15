"""A training step: against Hugging Face's GPT-2 and a plain GPT of the same size, and the machine's matrix-product rate.

Both sides take the same strings, drawn before, on the same number of threads, round by round. The machine's rate is that of
float32 products of 1024 x 1024. The products with a block's weights alone show what such a step could reach at best.
"""

from __future__ import annotations

import pytest
import torch
from speed import flops
from speed.machine import has_bfloat16
from speed.peers import plain_training
from speed.rounds import OWN, compared, ratios, scaled
from speed.rows import keep, row
from speed.steps import Setup, paper_282, products

from capbench.pipeline.cores import available_cores
from capbench.studies.pcfg.preset import small

SQUARE = (1024, 1024, 1024)
HF, PLAIN, RATE, SHAPES = "Hugging Face", "Hugging Face without dropout", "1024 products", "a block's products"
BARE = "a plain GPT"
PART = "training step"
THREADS = pytest.mark.parametrize("threads", sorted({1, available_cores()}), indirect=True)
# name, preset, steps a round, products a round, aims: against Hugging Face, share of the machine's rate
SIZES = [
    pytest.param("paper size (16 x 282 tokens)", paper_282(), 2, 10, ">= 2.2", ">= 75 %", id="paper"),
    pytest.param("small (96 x 25 tokens)", small(), 15, 10, "", ">= 55 %", id="small"),
]


@THREADS
@pytest.mark.parametrize(("size", "preset", "steps", "calls", "against", "share"), SIZES)
def test_step(benchmark, size, preset, steps, calls, against, share, threads):
    """Our step, Hugging Face's with and without dropout, a plain GPT's, and matrix products, in each of seven rounds."""
    setup = Setup.of(preset, steps=steps)
    batch, positions = preset.batch_size, preset.setting.seq_len
    shapes = flops.shapes(setup.model, batch, positions)
    rivals = {
        HF: setup.huggingface(),
        PLAIN: setup.huggingface(dropout=False),
        BARE: plain_training(setup),
        RATE: products([SQUARE], calls=calls),
        SHAPES: products(shapes),
    }
    found = compared(benchmark, setup.ours(), rivals, rounds=7)
    what = f"{size}, {threads} thread{'s' * (threads > 1)}"
    product = calls * flops.product(*SQUARE)
    keep(
        benchmark,
        row(PART, f"{what}: a step", scaled(found[OWN], 1000 / steps), "ms"),
        row(
            PART,
            f"{what}: speed against Hugging Face's GPT-2 as it ships",
            ratios(found[HF], found[OWN]),
            "times",
            aim=against,
        ),
        row(PART, f"{what}: against the same without dropout", ratios(found[PLAIN], found[OWN]), "times"),
        row(PART, f"{what}: against a plain GPT on fused attention", ratios(found[BARE], found[OWN]), "times"),
        row(PART, f"{what}: the machine's float32 rate", [product / s / 1e9 for s in found[RATE]], "GFLOP/s"),
    )
    for causal, counted, aim in ((True, "", share), (False, ", all pairs of positions counted", "")):
        work = steps * flops.training_step(setup.model, batch, positions, causal=causal)
        shares = ratios(found[RATE], found[OWN], 100 * work / product)
        keep(benchmark, row(PART, f"{what}: share of that rate{counted}", shares, "%", aim=aim))
    work = sum(flops.product(*shape) for shape in shapes)
    shares = ratios(found[RATE], found[SHAPES], 100 * work / product)
    keep(benchmark, row(PART, f"{what}: the same for its products with weights alone", shares, "%"))


@THREADS
@pytest.mark.skipif(not has_bfloat16(), reason="this CPU does not multiply bfloat16")
def test_step_in_bfloat16(benchmark, threads):
    """bf16 by autocast at the paper's size, as a share of the float32 rate."""
    preset, steps, calls = paper_282(), 2, 10
    setup = Setup.of(preset, steps=steps, precision="bfloat16")
    rivals = {
        "float32": Setup.of(preset, steps=steps).ours(),
        RATE: products([SQUARE], calls=calls),
        "bf16 products": products([SQUARE], calls=calls, dtype=torch.bfloat16),
    }
    found = compared(benchmark, setup.ours(), rivals, rounds=7)
    work = steps * flops.training_step(setup.model, preset.batch_size, preset.setting.seq_len)
    shares = ratios(found[RATE], found[OWN], 100 * work / (calls * flops.product(*SQUARE)))
    what = f"paper size, {threads} thread{'s' * (threads > 1)}, bf16"
    keep(
        benchmark,
        row(PART, f"{what}: speed against float32", ratios(found["float32"], found[OWN]), "times"),
        row(PART, f"{what}: share of the machine's float32 rate", shares, "%", aim=">= 90 %"),
    )
