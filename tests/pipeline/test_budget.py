"""What a fine-tuning cost is counted from outside: steps, tokens with and without gradients, and no evaluation."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import built
from tiny_study import BASE, SETTING, TRAIN, tuned

from capbench.configs import GptConfig
from capbench.methods.specs.registry import find
from capbench.models.base import passes
from capbench.models.gpt import Gpt
from capbench.pipeline.budget import counting
from capbench.store.store import Store
from capbench.training.loop import fit

MODEL = Gpt.initialised(
    GptConfig(vocab_size=len(SETTING.vocabulary), seq_len=SETTING.seq_len, d_model=8, n_blocks=1, n_heads=2),
    torch.Generator().manual_seed(0),
)
TOKENS = TRAIN.steps * TRAIN.batch_size * SETTING.seq_len  # every string of every batch, once
METHODS = """
import copy
from dataclasses import replace
import torch
from capbench.training.loop import fit
def full(model, task, config):
    fit(tuned := copy.deepcopy(model), task, config)
    return tuned
def twice(model, task, config):
    tuned = full(model, task, config)
    fit(tuned, task, replace(config, steps=3))
    return tuned
def own_loop(model, task, config):
    tuned = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(tuned.parameters(), lr=0.1)
    for _ in range(5):
        batch = task.sample(2, torch.Generator().manual_seed(0))
        tuned(batch.tokens).sum().backward()
        optimizer.step()
    with torch.no_grad():
        tuned.run_with_cache(batch.tokens)
    return tuned.eval()
"""


def batch(n: int) -> Any:
    return BASE.task.sample(n, torch.Generator().manual_seed(0)).tokens


def test_tokens_count_with_and_without_gradients_whatever_way_they_go() -> None:
    model, tokens = copy.deepcopy(MODEL), batch(3)
    with counting() as budget:
        model(tokens)
        model.answer_logits(tokens, 2)
        with torch.no_grad():
            model.run_with_cache(tokens)
        with budget.paused():
            model(tokens)
    assert budget.as_json() == {"steps": 0, "tokens": 2 * tokens.numel(), "forward_tokens": tokens.numel()}


def test_outside_of_the_block_nothing_is_counted_and_nothing_is_left_behind() -> None:
    with counting() as budget:
        pass
    optimizer = torch.optim.SGD(MODEL.parameters(), lr=0.0)
    MODEL(batch(1))
    optimizer.step()
    assert budget.as_json() == {"steps": 0, "tokens": 0, "forward_tokens": 0} and passes.get() is None


def test_a_copy_of_the_model_is_counted_too() -> None:
    with counting() as budget:
        fit(copy.deepcopy(MODEL), BASE.task, TRAIN)
    assert budget.as_json() == {"steps": TRAIN.steps, "tokens": TOKENS, "forward_tokens": 0}


@pytest.mark.parametrize(
    ("method", "steps", "tokens", "forward"),
    [
        ("full", 6, TOKENS, 0),
        ("twice", 9, TOKENS * 3 // 2, 0),
        ("own_loop", 5, 10 * SETTING.seq_len, 2 * SETTING.seq_len),
        ("identity", 0, 0, 0),
    ],
)
def test_a_fine_tuned_model_says_what_it_cost_without_its_curves(
    method: str, steps: int, tokens: int, forward: int, tmp_path: Path
) -> None:
    """Curves are evaluated every third step here, on more strings than are trained on."""
    file = tmp_path / "mine.py"
    file.write_text(METHODS)
    step = tuned(find("identity" if method == "identity" else f"{file}:{method}"))
    store = Store(tmp_path / "store")
    built(store, [step])
    meta = store.meta(step.key)
    assert meta is not None
    assert meta["budget"] == {"steps": steps, "tokens": tokens, "forward_tokens": forward}
    assert meta["steps"] == steps


def test_a_method_of_two_trainings_has_one_curve(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(METHODS)
    step = replace(tuned(find(f"{file}:twice")), watch_every=3)
    store = Store(tmp_path / "store")
    built(store, [step])
    meta = store.meta(step.key)
    assert meta is not None
    (points,) = meta["curves"].values()
    assert [x for x, _ in points] == [0, 3, 6, 9], "the second training's third step is the ninth"
