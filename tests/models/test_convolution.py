"""The gated convolution: torch's own with the same weights, and a window that is seen whole."""

from __future__ import annotations

import torch
from architectures import drawn, shake
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from capbench.models.convolution import Convolution, ConvolutionMixer
from capbench.models.sizes import ConvolutionConfig


@settings(max_examples=40)
@given(pos=st.integers(1, 12), kernel=st.integers(1, 4), apart=st.integers(1, 20), d=st.integers(1, 3))
def test_as_torchs_own_convolution(pos: int, kernel: int, apart: int, d: int) -> None:
    mixer = shake(ConvolutionMixer(d, kernel, apart)).double()
    x = drawn(2, pos, d)
    weight = mixer.read.weight.unflatten(1, (kernel, d)).transpose(1, 2)  # [2 d, d, kernel]
    padded = F.pad(x.mT, ((kernel - 1) * apart, 0))
    value, gate = F.conv1d(padded, weight, mixer.read.bias, dilation=apart).mT.chunk(2, -1)
    torch.testing.assert_close(mixer(x), value * gate.sigmoid(), atol=1e-9, rtol=1e-9)


@settings(max_examples=40)
@given(kernel=st.integers(2, 4), n_blocks=st.integers(1, 3), short=st.integers(0, 3))
def test_a_window_within_the_receptive_field_is_seen_from_its_first_token_on(
    kernel: int, n_blocks: int, short: int
) -> None:
    seq_len = max(1, kernel**n_blocks - short)
    config = ConvolutionConfig(vocab_size=3, seq_len=seq_len, d_model=4, n_blocks=n_blocks, kernel=kernel)
    model = shake(Convolution.initialised(config, torch.Generator().manual_seed(0))).double()
    x = torch.zeros(1, seq_len, dtype=torch.long)
    other = x.clone()
    other[0, 0] = 1
    assert not torch.equal(model(x)[0, -1], model(other)[0, -1])
