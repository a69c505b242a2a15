"""The architectures that share `models/blocks.py`, at a size that costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from capbench.models.blocks import Blocks
from capbench.models.convolution import Convolution
from capbench.models.linear_attention import LinearAttention
from capbench.models.recurrent import Gru, Lstm
from capbench.models.sizes import (
    BlocksConfig,
    ConvolutionConfig,
    LinearAttentionConfig,
    RecurrentConfig,
    StateSpaceConfig,
)
from capbench.models.state_space import StateSpace

# name -> the architecture, its configuration, and what that has besides the sizes below
ARCHITECTURES: Mapping[str, tuple[type[Blocks], type[BlocksConfig], Mapping[str, Any]]] = {
    "lstm": (Lstm, RecurrentConfig, {}),
    "gru": (Gru, RecurrentConfig, {}),
    "convolution": (Convolution, ConvolutionConfig, {"kernel": 3}),
    "state space": (StateSpace, StateSpaceConfig, {"n_heads": 2, "d_state": 3, "kernel": 2, "chunk": 4}),
    "linear attention": (LinearAttention, LinearAttentionConfig, {"n_heads": 2, "chunk": 4}),
}
SIZES: Mapping[str, Any] = {"vocab_size": 7, "seq_len": 9, "d_model": 8, "n_blocks": 2}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fresh(which: str, seed: int = 0, **changes: Any) -> Blocks:
    """One as it is initialised."""
    architecture, config, own = ARCHITECTURES[which]
    return architecture.initialised(config(**{**SIZES, **own, **changes}), rng(seed))


def shaken(which: str, **changes: Any) -> Blocks:
    """One with weights large enough that everything does something, and no bias or rate at its start."""
    return shake(fresh(which, **changes))


def shake(model: Any) -> Any:
    """Add noise to all weights."""
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=rng(number)) * 0.4)
    return model.eval()


def strings(n: int = 4, seed: int = 1) -> torch.Tensor:
    return torch.randint(SIZES["vocab_size"], (n, SIZES["seq_len"]), generator=rng(seed))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers in double precision."""
    return torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def maps(model: nn.Module) -> list[str]:
    """The names of all linear maps."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
