"""LSTM and GRU: torch's own with the same weights, memories over the whole window, and one look-up of a weight per pass."""

from __future__ import annotations

import pytest
import torch
from architectures import fresh, rng, shake, shaken, strings
from torch import Tensor, nn
from torch.nn.utils import parametrize

from capbench.models.recurrent import GruMixer, LstmMixer

D = 5


def with_weights_of(mixer: LstmMixer | GruMixer, theirs: nn.RNNBase, order: list[int]) -> nn.RNNBase:
    """torch's layer with a mixer's weights; order: of the gates, as torch has them."""
    with torch.no_grad():
        for own, kind in ((mixer.read, "ih"), (mixer.state, "hh")):
            for ours, name in ((own.weight, f"weight_{kind}_l0"), (own.bias, f"bias_{kind}_l0")):
                chunks = ours.chunk(len(order))
                getattr(theirs, name).copy_(torch.cat([chunks[i] for i in order]))
    return theirs


@pytest.mark.parametrize("pos", [1, 7])
def test_as_torchs_own_layers(pos: int) -> None:
    x = torch.randn(3, pos, D, generator=rng())
    lstm, gru = shake(LstmMixer(D)), shake(GruMixer(D))
    pairs = (
        (lstm, with_weights_of(lstm, nn.LSTM(D, D, batch_first=True), [0, 1, 3, 2])),
        (gru, with_weights_of(gru, nn.GRU(D, D, batch_first=True), [0, 1, 2])),
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours(x), theirs(x)[0], atol=1e-5, rtol=1e-4)


def test_memories_start_anywhere_in_the_window() -> None:
    for which, gates, at in (("lstm", 4, 1), ("gru", 3, 1)):
        mixer = fresh(which, d_model=64, seq_len=25).blocks[0].mixer
        memories = 1 + mixer.read.bias.chunk(gates)[at].exp()  # a gate of sigmoid(b) keeps its state for 1 + e^b tokens
        assert memories.min() > 1.9 and memories.max() < 25.1 and memories.std() > 4
        others = [bias for i, bias in enumerate(mixer.read.bias.chunk(gates)) if i not in (0, at)]
        assert all((bias == 0).all() for bias in others) and (mixer.state.bias == 0).all()
    lstm = fresh("lstm").blocks[0].mixer.read.bias.chunk(4)
    assert torch.equal(lstm[0], -lstm[1])


class Counting(nn.Module):
    """A parametrisation that counts how often a weight is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, weight: Tensor) -> Tensor:
        self.calls += 1
        return 2 * weight


@pytest.mark.parametrize("which", ["lstm", "gru"])
def test_a_parametrised_weight_is_computed_once_per_pass(which: str) -> None:
    model, doubled = shaken(which), shaken(which)
    counting = Counting()
    parametrize.register_parametrization(model.blocks[0].mixer.state, "weight", counting)
    with torch.no_grad():
        doubled.blocks[0].mixer.state.weight.mul_(2)
    counting.calls = 0
    torch.testing.assert_close(model(strings()), doubled(strings()))
    assert counting.calls == 1


@pytest.mark.parametrize("which", ["lstm", "gru"])
def test_a_layer_in_the_place_of_the_map_of_the_state_is_called(which: str) -> None:
    """As adapters are."""
    model = shaken(which)
    expected = model(strings())
    mixer = model.blocks[0].mixer
    mixer.state = nn.Sequential(mixer.state, nn.Identity())
    torch.testing.assert_close(model(strings()), expected)
