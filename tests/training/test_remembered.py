"""What enters the last blocks is remembered, and nothing that is trained or answered changes by it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from language_models import config, skill, tokeniser
from language_models import model as made

from capbench.training import remembered
from capbench.training.last_blocks import only_the_last
from capbench.training.loop import fit
from capbench.training.remembered import remembering


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    remembered._MEMORIES.clear()
    yield
    remembered._MEMORIES.clear()


def counted(model: Any) -> list[int]:
    """Grows with every pass through the first block."""
    passes: list[int] = []
    first, forward = model.blocks[0], model.blocks[0].forward
    first.forward = lambda *args, **named: (passes.append(1), forward(*args, **named))[1]
    return passes


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_a_training_of_the_last_blocks_is_the_same_and_asks_the_others_once(family: str) -> None:
    prompts = tokeniser().prompts(skill(), skill().items["train"][:8])
    plain, own = made(family), made(family)
    passes = counted(own)
    for model, within in ((plain, lambda m: nullcontext()), (own, lambda m: remembering(m, 1))):
        with only_the_last(model, 1), within(model):
            fit(model, prompts, config(6, batch=8))
    names = [name for name, _ in plain.named_parameters()]
    assert names == [name for name, _ in own.named_parameters()]
    for one, other in zip(plain.parameters(), own.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    assert len(passes) == 1  # all prompts are in each batch, in other orders
    tokens = prompts.batch().tokens
    torch.testing.assert_close(plain(tokens), own(tokens), rtol=1e-4, atol=1e-5)
    assert len(passes) == 2  # as before


def test_models_share_what_is_remembered_if_these_blocks_are_the_same() -> None:
    prompts = tokeniser().prompts(skill(), skill().items["train"][:8])
    tokens, model = prompts.batch().tokens, made()
    same, other = copy.deepcopy(model), copy.deepcopy(model)
    with torch.no_grad():
        same.blocks[-1].mlp.down_proj.weight.mul_(2)
        other.blocks[0].mlp.down_proj.weight.mul_(2)
    expected = [each(tokens) for each in (model, same, other)]
    calls = [counted(each) for each in (model, same, other)]
    for each, right in zip((model, same, other), expected, strict=True):
        with remembering(each, 1):
            torch.testing.assert_close(each(tokens), right, rtol=1e-5, atol=1e-6)
    assert [len(passes) for passes in calls] == [1, 0, 1]


def test_models_that_train_all_blocks_are_left_alone() -> None:
    model = made()
    for blocks in (None, 3, 9):
        with remembering(model, blocks):
            assert [type(block) for block in model.blocks] == [type(block) for block in made().blocks]
