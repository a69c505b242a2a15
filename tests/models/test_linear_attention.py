"""Linear attention: weights that are products, falling with distance by head; memories from 2 tokens to all."""

from __future__ import annotations

import pytest
import torch
from architectures import drawn, shaken

from capbench.models.linear_attention import LinearAttentionMixer, decays


def test_as_products_that_fall_with_distance() -> None:
    mixer: LinearAttentionMixer = shaken("linear attention", n_heads=4).double().blocks[0].mixer
    x = drawn(2, 7, 8)
    q, k, v = mixer.qkv(x).chunk(3, -1)
    expected = torch.zeros_like(x)
    for head, decay in enumerate(mixer.decays):
        its = slice(2 * head, 2 * head + 2)
        for t in range(7):
            weights = [(q[:, t, its] * k[:, s, its]).sum(-1) / 2**0.5 * decay ** (t - s) for s in range(t + 1)]
            mixed = sum(weight[:, None] * v[:, s, its] for s, weight in enumerate(weights))
            expected[:, t, its] = mixed / (mixed.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(mixer(x), expected, atol=1e-9, rtol=1e-9)


def test_memories_of_the_heads() -> None:
    *some, last = decays(4, 32)
    assert last == 1 and [1 / (1 - decay) for decay in some] == pytest.approx([2, 8, 32])
    assert decays(1, 9) == [1.0] and decays(2, 10) == [0.9, 1.0] and decays(3, 1) == [0.5, 0.5, 1.0]
