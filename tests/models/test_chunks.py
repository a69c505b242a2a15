"""Linear recurrences in chunks: the plain recurrence, whatever the chunk, however strong the decay."""

from __future__ import annotations

import torch
from architectures import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from capbench.models.chunks import decayed_attention


def step_by_step(q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor) -> Tensor:
    found, state = [], torch.zeros(1, dtype=v.dtype)
    for t in range(v.shape[2]):
        added = k[:, :, t, :, None] * v[:, :, t, None, :]
        state = log_decay[:, :, t, None, None].exp() * state + added
        found.append((q[:, :, t, :, None] * state).sum(2))
    return torch.stack(found, 2)


@settings(max_examples=50)
@given(
    pos=st.integers(1, 20),
    chunk=st.integers(1, 25),
    heads=st.integers(1, 3),
    shared=st.booleans(),
    strength=st.sampled_from([0.0, 0.1, 3.0]),
)
def test_as_step_by_step(pos: int, chunk: int, heads: int, shared: bool, strength: float) -> None:
    of_keys = 1 if shared else heads
    q, k, v = drawn(2, of_keys, pos, 3), drawn(2, of_keys, pos, 3, seed=1), drawn(2, heads, pos, 4, seed=2)
    log_decay = -strength * drawn(2, heads, pos, seed=3).abs()
    found = decayed_attention(q, k, v, log_decay, chunk=chunk)
    torch.testing.assert_close(found, step_by_step(q, k, v, log_decay), atol=1e-9, rtol=1e-9)


def test_what_is_forgotten_at_once_leaves_no_nan() -> None:
    parts = [drawn(1, 1, 9, 2, seed=seed).float().requires_grad_() for seed in range(3)]
    log_decay = torch.full((1, 1, 9), -1e4, requires_grad=True)
    found = decayed_attention(*parts, log_decay, chunk=4)
    torch.testing.assert_close(found, (parts[0] * parts[1]).sum(-1, keepdim=True) * parts[2])
    found.sum().backward()
    for part in (*parts, log_decay):
        assert part.grad is not None and bool(part.grad.isfinite().all())
    assert all(bool(part.grad.any()) for part in parts if part.grad is not None)
