"""The method of docs/language.md that trains by transformers.Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from guide_blocks import blocks
from language_models import config, model, skill, tokeniser

from capbench.methods.returned import checked
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import next_token_loss

PAGE = Path(__file__).parents[2] / "docs" / "language.md"


@pytest.mark.filterwarnings("ignore")
def test_a_method_by_transformers_trainer_learns_the_target_and_leaves_the_given_model(tmp_path: Path) -> None:
    (block,) = [block for block in blocks(PAGE.read_text("utf-8")) if block.file == "trainer.py"]
    named: dict[str, Any] = {}
    exec(block.body, named)
    of, reads = skill(), tokeniser()
    target = reads.prompts(of, of.items["train"])
    texts = reads.texts("texts", of.retain, length=6)
    task = FineTuningTask(target=target, retain=texts, forget=target)
    base = model()
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    with torch.random.fork_rng(devices=[]):
        tuned = named["tune"](base, task, config(12))
    checked(tuned, base, "tune", device="cpu")
    assert all(torch.equal(weight, before[name]) for name, weight in base.state_dict().items())
    losses = [float(next_token_loss(m.eval(), target.batch(), target)) for m in (base, tuned)]
    assert losses[1] < losses[0] - 0.5
