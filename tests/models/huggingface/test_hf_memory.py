"""Where memory is short, blocks are computed again in the backward pass, and nothing else changes."""

from __future__ import annotations

import copy

import pytest
import torch
from hf_models import FAMILIES, around, close, own, strings

from capbench.models.huggingface import memory
from capbench.models.huggingface.model import HuggingFace


def grads(model: HuggingFace, tokens: torch.Tensor) -> tuple[dict[str, torch.Tensor], int]:
    """Of a step of training, and how often the first block was computed for it."""
    calls = list[int]()
    inner = next(model.blocks[0].children())
    handle = inner.register_forward_pre_hook(lambda *_: calls.append(1))
    model.zero_grad()
    model.train()(tokens).square().mean().backward()
    handle.remove()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, len(calls)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_the_same_where_blocks_are_computed_again(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(around(own(family), family))
    plain, once = grads(model, strings())
    assert once == 1
    monkeypatch.setattr(memory, "available", lambda: 0)
    assert grads(model, strings())[1] == 1  # there was room for as many
    more = strings().repeat(2, 1)
    again, times = grads(model, more)
    assert times == 1 + model.hf.supports_gradient_checkpointing
    assert again.keys() == plain.keys()
    for name, found in again.items():
        close(found, plain[name])
    with torch.no_grad():
        close(model.eval()(more)[: len(strings())], model(strings()))


def test_room_is_for_what_blocks_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = 100 * 1000 * 30 * 576  # bytes of each token, block and width
    for there, expected in ((2 * needs, True), (2 * needs - 1, False)):
        monkeypatch.setattr(memory, "available", lambda there=there: there)
        assert memory.has_room(1000, n_blocks=30, d_model=576, device=torch.device("cpu")) is expected


def test_a_pass_without_gradients_asks_for_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(around(own(FAMILIES[0]), FAMILIES[0]))
    asked = list[int]()
    monkeypatch.setattr(memory, "available", lambda: asked.append(1) or 0)  # type: ignore[func-returns-value]
    model.eval()(strings())
    with torch.no_grad():
        model.train()(strings())
    assert not asked
    model.train()(strings())
    assert asked
