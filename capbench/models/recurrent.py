"""LSTM (Hochreiter and Schmidhuber 1997) and GRU (Cho et al. 2014, arXiv 1406.1078). Their gates are linear maps like any other.

What they read is computed for all tokens in one product; what is left for the loop over tokens is the map of the state.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.models.base import hooked
from capbench.models.blocks import Blocks, Mixer
from capbench.models.sizes import RecurrentConfig


class LstmMixer(Mixer):
    """c_t = f c_(t-1) + i tanh(g), h_t = o tanh(c_t). Rows of both maps: input, forget and output gate, then g."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.read = nn.Linear(d_model, 4 * d_model)
        self.state = nn.Linear(d_model, 4 * d_model)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        d, of_state, states = x.shape[-1], _often(self.state), []
        h = c = torch.zeros_like(x[:, 0])
        for read in self.read(x).unbind(1):
            gates, new = (read + of_state(h)).split([3 * d, d], -1)
            i, f, o = gates.sigmoid().chunk(3, -1)
            c = f * c + i * new.tanh()
            h = o * c.tanh()
            states.append(h)
        return torch.stack(states, 1)

    def start(self, seq_len: int, rng: torch.Generator) -> None:
        """The gates forget after 1 to seq_len tokens, and take in as much as they forget (Tallec and Ollivier 2018)."""
        keep = _remembering(len(self.read.bias) // 4, seq_len, rng)
        self.read.bias[: 2 * len(keep)] = torch.cat([-keep, keep])


class GruMixer(Mixer):
    """h_t = z h_(t-1) + (1 - z) tanh(n_read + r n_state). Rows of both maps: reset gate r, update gate z, n."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.read = nn.Linear(d_model, 3 * d_model)
        self.state = nn.Linear(d_model, 3 * d_model)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        d, of_state, states = x.shape[-1], _often(self.state), []
        h = torch.zeros_like(x[:, 0])
        gates_read, new_read = (part.unbind(1) for part in self.read(x).split([2 * d, d], -1))
        for gates, new in zip(gates_read, new_read, strict=True):
            gates_state, new_state = of_state(h).split([2 * d, d], -1)
            r, z = (gates + gates_state).sigmoid().chunk(2, -1)
            proposed = torch.addcmul(new, r, new_state).tanh()
            h = proposed + z * (h - proposed)
            states.append(h)
        return torch.stack(states, 1)

    def start(self, seq_len: int, rng: torch.Generator) -> None:
        """The update gates keep the state for 1 to seq_len tokens (Tallec and Ollivier 2018)."""
        keep = _remembering(len(self.read.bias) // 3, seq_len, rng)
        self.read.bias[len(keep) : 2 * len(keep)] = keep


class Lstm(Blocks):
    """Blocks with an LSTM in place of attention."""

    @staticmethod
    def mixer(config: RecurrentConfig, block: int) -> Mixer:
        return LstmMixer(config.d_model)


class Gru(Blocks):
    """Blocks with a GRU in place of attention."""

    @staticmethod
    def mixer(config: RecurrentConfig, block: int) -> Mixer:
        return GruMixer(config.d_model)


def _often(linear: nn.Module) -> Callable[[Tensor], Tensor]:
    """A map that is called for every token. Its weight is looked up once, unless it is an adapter or has hooks.

    A parametrised weight would be computed anew for every token.
    """
    if isinstance(linear, nn.Linear) and type(linear).forward is nn.Linear.forward and not hooked(linear):
        weight, bias = linear.weight, linear.bias
        return lambda x: F.linear(x, weight, bias)
    return linear


def _remembering(n: int, seq_len: int, rng: torch.Generator) -> Float[Tensor, " n"]:
    """Biases of gates that keep their state for about T tokens, with T - 1 evenly drawn from 1 to seq_len - 1."""
    drawn: Tensor = (1 + torch.rand(n, generator=rng) * max(seq_len - 2, 0)).log()
    return drawn
