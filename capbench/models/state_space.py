"""A selective state-space model in its chunked form: Mamba-2 (Dao and Gu 2024, arXiv 2405.21060) in plain torch."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.models.blocks import Blocks, Mixer
from capbench.models.chunks import decayed_attention, memories
from capbench.models.sizes import StateSpaceConfig


class StateSpaceMixer(Mixer):
    """S_t = exp(-rate dt_t) S_(t-1) + k_t^T (dt_t v_t) per head, y_t = q_t S_t + skip v_t; then a gate and an RMS norm.

    Rows of `read`: gates, v, k, q (Mamba's z, x, B, C), and dt of each head. All heads share k and q. `taps`: of the short
    convolution over k and q, the earliest token's last. Unlike in Mamba-2, v is not convolved and no wider than the stream, as
    the block has an MLP, and the norm has no weight.
    """

    def __init__(self, config: StateSpaceConfig) -> None:
        super().__init__()
        d, n, h = config.d_model, config.d_state, config.n_heads
        self.n_heads, self.chunk = h, config.chunk
        self.parts = [d, d, 2 * n, h]
        self.read = nn.Linear(d, sum(self.parts))
        self.taps = nn.Parameter(torch.empty(config.kernel, 2 * n))
        self.log_rate = nn.Parameter(torch.empty(h))
        self.skip = nn.Parameter(torch.empty(h))

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        gate, v, kq, step = self.read(x).split(self.parts, -1)
        k, q = self._short(kq).chunk(2, -1)
        step = F.softplus(step).transpose(1, 2)  # [batch, head, pos]
        v = v.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)  # [batch, head, pos, d_head]
        log_decay = -step * self.log_rate.exp()[:, None]
        y = decayed_attention(q[:, None], k[:, None], v * step[..., None], log_decay, chunk=self.chunk)
        y = (y + self.skip[:, None, None] * v).transpose(1, 2).flatten(2)
        return F.rms_norm(y * F.silu(gate), y.shape[-1:], eps=1e-5)

    def _short(self, x: Float[Tensor, "batch pos channels"]) -> Float[Tensor, "batch pos channels"]:
        padded = F.pad(x, (0, 0, len(self.taps) - 1, 0))
        shifted = [padded[:, n : n + x.shape[1]] for n in reversed(range(len(self.taps)))]
        return F.silu(sum((tap * part for tap, part in zip(self.taps, shifted, strict=True)), torch.zeros(())))

    def start(self, seq_len: int, rng: torch.Generator) -> None:
        """Heads start as moving averages over 2 to seq_len tokens: rates of 1, steps from 1 / seq_len to 1 / 2, k and q about 1.

        With Mamba-2's start (rates to 16, steps to .1, k and q about 0, a skip of 1) tokens are hardly mixed at first, and mixing
        is learned late; a skip is not needed at first, as there is the stream.
        """
        d, _, n_kq, h = self.parts
        self.taps[0] = 1.0
        self.log_rate.zero_()
        self.skip.zero_()
        steps = 1 / torch.tensor(memories(h, seq_len))
        self.read.bias[2 * d : 2 * d + n_kq] = 1.0
        self.read.bias[-h:] = steps.expm1().log()  # softplus gives the steps back


class StateSpace(Blocks):
    """Blocks with a selective state space in place of attention."""

    @staticmethod
    def mixer(config: StateSpaceConfig, block: int) -> Mixer:
        return StateSpaceMixer(config)
