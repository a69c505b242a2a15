"""Linear attention (Katharopoulos et al. 2020, arXiv 2006.16236) with decays: retention (Sun et al. 2023, arXiv 2307.08621)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.models.attention import heads, merged
from capbench.models.blocks import Blocks, Mixer
from capbench.models.chunks import decayed_attention, memories
from capbench.models.sizes import LinearAttentionConfig


class LinearAttentionMixer(Mixer):
    """Attention without a softmax: a token's weight is its key times the query, and falls with its distance; then a norm.

    Head h has its own decay; the last has none, and is plain linear attention. The GPT's position embeddings take the place of
    retention's rotations. The outputs of each head are normalised, as there is no sum of weights to divide by.
    """

    def __init__(self, config: LinearAttentionConfig) -> None:
        super().__init__()
        self.n_heads, self.chunk = config.n_heads, config.chunk
        self.decays = decays(config.n_heads, config.seq_len)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        q, k, v = heads(self.qkv(x), self.n_heads)
        log_decay = torch.tensor([math.log(decay) for decay in self.decays], dtype=x.dtype, device=x.device)
        by_token = log_decay[None, :, None].expand(-1, -1, x.shape[1])
        mixed = decayed_attention(q * q.shape[-1] ** -0.5, k, v, by_token, chunk=self.chunk)
        return merged(F.rms_norm(mixed, mixed.shape[-1:], eps=1e-5))


class LinearAttention(Blocks):
    """Blocks with linear attention in place of attention."""

    positions: ClassVar[bool] = True

    @staticmethod
    def mixer(config: LinearAttentionConfig, block: int) -> Mixer:
        return LinearAttentionMixer(config)


def decays(n_heads: int, seq_len: int) -> list[float]:
    """What is left of a token's weight after one token more, by head: memories of 2 to seq_len tokens, and one without end."""
    return [*(1 - 1 / memory for memory in memories(n_heads - 1, seq_len)), 1.0]
