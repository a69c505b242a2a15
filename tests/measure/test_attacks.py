"""Attacks besides full fine-tuning, each by itself: rounding by hand, low-rank updates that leave the weights alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import TINY, study

from capbench.measure.attacks import lora
from capbench.measure.attacks.quantise import quantised
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.training.loop import observing


class Plain(Model):
    """A matrix and a vector."""

    def __init__(self, matrix: list[list[float]]) -> None:
        super().__init__()
        self.matrix = torch.nn.Parameter(torch.tensor(matrix))
        self.vector = torch.nn.Parameter(torch.tensor([0.123]))


def test_rounding_by_hand() -> None:
    model = Plain([[0.7, -0.32, 0.04, 0.06], [7.0, 3.4, -3.6, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = quantised(model, bits=4)  # 4 bits: 7 steps on either side, here of .1 and of 1; a row of zeros stays one
    expected = torch.tensor([[0.7, -0.3, 0.0, 0.1], [7.0, 3.0, -4.0, 0.0], [0.0] * 4])
    assert torch.allclose(found.matrix, expected, atol=1e-6)
    assert found.vector.equal(model.vector) and model.matrix[0, 1].item() == pytest.approx(-0.32)  # a copy is rounded
    assert torch.allclose(quantised(model, bits=2).matrix[0], torch.tensor([0.7, 0.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match="1 bits: must be at least 2"):
        quantised(model, bits=1)


@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=6), st.sampled_from([4, 8]))
@settings(max_examples=60)
def test_rounding_moves_no_weight_by_more_than_half_a_step_and_is_done_once(row: list[float], bits: int) -> None:
    model = Plain([row])
    found = quantised(model, bits=bits)
    step = max(map(abs, row)) / (2 ** (bits - 1) - 1)
    assert (found.matrix - model.matrix).abs().max().item() <= step / 2 * 1.001
    assert torch.allclose(quantised(found, bits=bits).matrix, found.matrix, atol=1e-6)


def test_lora_changes_adapters_only_and_learns() -> None:
    tiny = study()
    model: Model = Gpt.initialised(TINY.model(TINY.setting), torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    untrained = copy.deepcopy(model)
    step = tiny.revival(tiny.initialised(0), 0, lr="medium")
    with observing(lambda *_: False) as fits:
        lora.relearn(model, step.task, replace(step.train, steps=30, batch_size=32))
    after = {name.replace("parametrizations.weight.original", "weight"): t for name, t in model.state_dict().items()}
    assert all(after[name].equal(tensor) for name, tensor in before.items())
    added = [name for name in model.state_dict() if name.endswith((".up", ".down"))]
    assert len(added) == 2 * len(untrained.neurons()) and all(after[n].abs().sum() > 0 for n in added)
    tokens = torch.zeros(1, TINY.setting.seq_len, dtype=torch.long)
    assert not model(tokens).allclose(untrained(tokens))
    losses = fits[0].losses
    assert max(losses[-5:]) < losses[0] - 0.1
