"""Sizes of the architectures other than the GPT as plain data, without torch: what presets hold and store keys are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from capbench.configs import ModelConfig
from capbench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class BlocksConfig(ModelConfig):
    """What `models/blocks.py` needs: the width of the residual stream, and the activation of the MLPs."""

    d_model: int
    activation: Literal["gelu", "relu"] = "relu"

    def __post_init__(self) -> None:
        _at_least_one(d_model=self.d_model)
        if self.activation not in ("gelu", "relu"):
            raise UsageError(f"unknown activation {self.activation!r}; known: gelu, relu")


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(BlocksConfig):
    """Sizes of an LSTM or a GRU, whose state is as wide as the residual stream."""


@dataclass(frozen=True, kw_only=True)
class ConvolutionConfig(BlocksConfig):
    """Sizes of a gated convolution. kernel: taps of each; those of block i are kernel^i tokens apart."""

    kernel: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(kernel=self.kernel)
        if self.kernel**self.n_blocks < self.seq_len:
            raise UsageError(
                f"kernel {self.kernel} with n_blocks {self.n_blocks}: the last token sees {self.kernel**self.n_blocks} of "
                f"seq_len {self.seq_len}; {self._cure()}"
            )

    def _cure(self) -> str:
        if not self.n_blocks:
            return "there must be blocks"
        return f"kernel must be at least {enough_taps(self.seq_len, self.n_blocks)}"


@dataclass(frozen=True, kw_only=True)
class StateSpaceConfig(BlocksConfig):
    """Sizes of a selective state space. Each of n_heads heads has a state of [d_state, d_model / n_heads] and one rate.

    kernel: taps of the short convolution before it. chunk: tokens that are computed in parallel; it changes no result.
    """

    n_heads: int
    d_state: int = 16
    kernel: int = 4
    chunk: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(n_heads=self.n_heads, d_state=self.d_state, kernel=self.kernel, chunk=self.chunk)
        _divisible(self.d_model, self.n_heads)


@dataclass(frozen=True, kw_only=True)
class LinearAttentionConfig(BlocksConfig):
    """Sizes of linear attention. chunk: tokens that are computed in parallel; it changes no result."""

    n_heads: int
    chunk: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least_one(n_heads=self.n_heads, chunk=self.chunk)
        _divisible(self.d_model, self.n_heads)


def enough_taps(seq_len: int, n_blocks: int) -> int:
    """The fewest taps of a dilated convolution with which the last token sees all others."""
    return next(kernel for kernel in range(1, seq_len + 1) if kernel**n_blocks >= seq_len)


def _at_least_one(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise UsageError(f"{name} {size} must be at least 1")


def _divisible(d_model: int, n_heads: int) -> None:
    if d_model % n_heads:
        raise UsageError(f"d_model {d_model} must be a multiple of n_heads {n_heads}")
