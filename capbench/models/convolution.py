"""Gated causal convolutions (Dauphin et al. 2017, arXiv 1612.08083), dilated (van den Oord et al. 2016, arXiv 1609.03499).

Taps of block i are kernel^i tokens apart, so that the last token sees kernel^n_blocks of them, each by one way; the configuration
makes sure that these are all.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.models.blocks import Blocks, Mixer
from capbench.models.sizes import ConvolutionConfig


class ConvolutionMixer(Mixer):
    """value * sigmoid(gate), both linear in `kernel` tokens, `apart` tokens from each other. Rows: values, then gates.

    Columns: the earliest token's dimensions first. Before the first token there are zeros.
    """

    def __init__(self, d_model: int, kernel: int, apart: int) -> None:
        super().__init__()
        self.kernel, self.apart = kernel, apart
        self.read = nn.Linear(kernel * d_model, 2 * d_model)

    def forward(self, x: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        seen = [_later(x, n * self.apart) for n in reversed(range(self.kernel))]
        return F.glu(self.read(torch.cat(seen, -1)), -1)


class Convolution(Blocks):
    """Blocks with a gated convolution in place of attention."""

    @staticmethod
    def mixer(config: ConvolutionConfig, block: int) -> Mixer:
        return ConvolutionMixer(config.d_model, config.kernel, config.kernel**block)


def _later(x: Float[Tensor, "batch pos d_model"], n: int) -> Float[Tensor, "batch pos d_model"]:
    """Everything n positions later, after zeros; what would come after the end is dropped."""
    n = min(n, x.shape[1])
    return F.pad(x[:, : x.shape[1] - n], (0, 0, n, 0))
