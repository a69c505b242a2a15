"""The residual stream after every block: against TransformerLens, where that is installed: pip install 'transformer-lens<4'."""

from __future__ import annotations

import pytest
import torch
from speed.peers import hooked
from speed.rounds import OWN, compared, ratios, scaled
from speed.rows import keep, row
from speed.steps import Setup, paper_282

from capbench.studies.pcfg.preset import small

SIZES = [
    pytest.param("paper size (16 x 282 tokens)", paper_282(), id="paper"),
    pytest.param("small (96 x 25 tokens)", small(), id="small"),
]


@pytest.mark.parametrize(("size", "preset"), SIZES)
def test_cache(benchmark, size, preset):
    """A pass that keeps the stream at all positions; theirs with all that they keep, and with the stream alone."""
    pytest.importorskip("transformer_lens", reason="TransformerLens is not installed: pip install 'transformer-lens<4'")
    setup = Setup.of(preset, steps=1)
    model, theirs = setup.new_model().eval(), hooked(setup.model)
    tokens = setup.task.batch.tokens[: preset.batch_size]

    @torch.no_grad()
    def ours():
        return model.run_with_cache(tokens)[1].resid

    @torch.no_grad()
    def everything():
        return theirs.run_with_cache(tokens)

    @torch.no_grad()
    def stream():
        return theirs.run_with_cache(
            tokens, names_filter=lambda name: name.endswith("hook_resid_post") or name == "hook_embed"
        )

    assert len(stream()[1]) == len(ours())
    found = compared(benchmark, ours, {"all": everything, "stream": stream}, rounds=9)
    keep(
        benchmark,
        row("cache", f"{size}: a pass with the stream after every block", scaled(found[OWN], 1000), "ms"),
        row(
            "cache", f"{size}: speed against TransformerLens", ratios(found["stream"], found[OWN]), "times", aim=">= 1"
        ),
        row("cache", f"{size}: speed against its cache of everything", ratios(found["all"], found[OWN]), "times"),
    )
