"""The selective state space: its chunked form is its recurrence, and it starts with memories of all lengths."""

from __future__ import annotations

import pytest
import torch
from architectures import drawn, fresh, rng, shaken
from torch import Tensor
from torch.nn import functional as F

from capbench.models.state_space import StateSpaceMixer


def recurrence(mixer: StateSpaceMixer, x: Tensor) -> Tensor:
    """Token by token and head by head, as the docstring has it."""
    d, h, n = x.shape[-1], mixer.n_heads, mixer.taps.shape[1] // 2
    gate, v, kq, step = mixer.read(x).split([d, d, 2 * n, h], -1)
    found = torch.zeros_like(x)
    for string in range(len(x)):
        state = torch.zeros(h, n, d // h, dtype=x.dtype)
        for t in range(x.shape[1]):
            taps = [tap * kq[string, t - ago] for ago, tap in enumerate(mixer.taps) if ago <= t]
            k, q = F.silu(torch.stack(taps).sum(0)).chunk(2)
            for head, own in enumerate(v[string, t].view(h, -1)):
                dt = F.softplus(step[string, t, head])
                state[head] = (-mixer.log_rate[head].exp() * dt).exp() * state[head] + torch.outer(k, dt * own)
                found[string, t].view(h, -1)[head] = q @ state[head] + mixer.skip[head] * own
    found = found * F.silu(gate)
    return found / (found.square().mean(-1, keepdim=True) + 1e-5).sqrt()


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 3, 64])
def test_as_the_recurrence(chunk: int) -> None:
    mixer = shaken("state space", chunk=chunk, kernel=3).double().blocks[0].mixer
    x = drawn(2, 8, 8)
    torch.testing.assert_close(mixer(x), recurrence(mixer, x), atol=1e-9, rtol=1e-9)


def test_heads_start_as_moving_averages_over_the_window() -> None:
    mixer = fresh("state space", d_model=64, n_heads=32, seq_len=25, d_state=16).blocks[0].mixer
    memories = 1 / (mixer.log_rate.exp() * F.softplus(mixer.read.bias)[-32:])  # of a decay of exp(-1 / memory) a token
    torch.testing.assert_close(memories[[0, -1]], torch.tensor([2.0, 25.0]))
    assert (memories.diff() > 0).all()
    x = torch.randn(8, 25, 64, generator=rng())
    k, q = F.silu(mixer.read(x)[..., 128:160]).chunk(2, -1)
    assert ((k * q).sum(-1) > 0).float().mean() > 0.99  # all weights have one sign
    assert (mixer.read.bias[:128] == 0).all() and (mixer.skip == 0).all() and (mixer.taps[0] == 1).all()
