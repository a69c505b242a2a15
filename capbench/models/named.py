"""The architectures that a study can be given, by name, and their configurations at a study's sizes. No torch.

An architecture of one's own is named `module:Class`, and built from the GPT's configuration.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from capbench.configs import GptConfig, ModelConfig
from capbench.errors import UsageError
from capbench.models.huggingface import small
from capbench.models.sizes import (
    ConvolutionConfig,
    LinearAttentionConfig,
    RecurrentConfig,
    StateSpaceConfig,
    enough_taps,
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a study asks of every architecture. n_heads counts where there are heads."""

    vocab_size: int
    seq_len: int
    n_blocks: int
    d_model: int
    n_heads: int
    activation: Literal["gelu", "relu"]


class Architecture(NamedTuple):
    """path: `module:Class` of the model. sized: its configuration at these sizes."""

    path: str
    sized: Callable[[Sizes], ModelConfig]


def _common(sizes: Sizes) -> dict[str, int]:
    return {
        "vocab_size": sizes.vocab_size,
        "seq_len": sizes.seq_len,
        "n_blocks": sizes.n_blocks,
        "d_model": sizes.d_model,
    }


def gpt(sizes: Sizes) -> GptConfig:
    return GptConfig(**_common(sizes), n_heads=sizes.n_heads, activation=sizes.activation)


def recurrent(sizes: Sizes) -> RecurrentConfig:
    return RecurrentConfig(**_common(sizes), activation=sizes.activation)


def convolution(sizes: Sizes) -> ConvolutionConfig:
    """With as few taps as let the last token see all others."""
    taps = enough_taps(sizes.seq_len, sizes.n_blocks)
    return ConvolutionConfig(**_common(sizes), activation=sizes.activation, kernel=taps)


def state_space(sizes: Sizes) -> StateSpaceConfig:
    return StateSpaceConfig(**_common(sizes), activation=sizes.activation, n_heads=sizes.n_heads)


def linear_attention(sizes: Sizes) -> LinearAttentionConfig:
    return LinearAttentionConfig(**_common(sizes), activation=sizes.activation, n_heads=sizes.n_heads)


def _of_transformers(family: Callable[..., ModelConfig]) -> Callable[[Sizes], ModelConfig]:
    """With the family's own activation and widths of MLPs."""
    return lambda sizes: family(**_common(sizes), n_heads=sizes.n_heads)


GPT = "gpt"
_FAMILIES = "capbench.models.huggingface.families"
ARCHITECTURES: Mapping[str, Architecture] = {
    GPT: Architecture("capbench.models.gpt:Gpt", gpt),
    "lstm": Architecture("capbench.models.recurrent:Lstm", recurrent),
    "gru": Architecture("capbench.models.recurrent:Gru", recurrent),
    "convolution": Architecture("capbench.models.convolution:Convolution", convolution),
    "state-space": Architecture("capbench.models.state_space:StateSpace", state_space),
    "linear-attention": Architecture("capbench.models.linear_attention:LinearAttention", linear_attention),
    "llama": Architecture(f"{_FAMILIES}:Llama", _of_transformers(small.llama)),
    "gpt2": Architecture(f"{_FAMILIES}:Gpt2", _of_transformers(small.gpt2)),
    "gpt-neox": Architecture(f"{_FAMILIES}:GptNeoX", _of_transformers(small.gpt_neox)),
    "mamba2": Architecture(f"{_FAMILIES}:Mamba2", _of_transformers(small.mamba2)),
    "recurrent-gemma": Architecture(f"{_FAMILIES}:RecurrentGemma", _of_transformers(small.recurrent_gemma)),
}


def path_of(name: str) -> str:
    """`module:Class` of an architecture by its name, or of one's own as it was given.

    Raises UsageError, one line, for an unknown name, and for a class that is not there or is no architecture.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name].path
    module, colon, attribute = name.partition(":")
    if not colon or not attribute.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise UsageError(
            f"unknown architecture; known: {', '.join(ARCHITECTURES)}; or module:Class, a class of your own"
        )
    _check(name)
    return name


def config_of(path: str, sizes: Sizes) -> ModelConfig:
    """The configuration of the architecture `module:Class` at these sizes; for one of one's own, that of a GPT."""
    return next((known.sized for known in ARCHITECTURES.values() if known.path == path), gpt)(sizes)


def _check(path: str) -> None:
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a user's module may raise
        raise UsageError(f"it cannot be imported ({type(error).__name__}: {error})") from None
    if not callable(getattr(found, "initialised", None)) or not callable(getattr(found, "run_with_cache", None)):
        raise UsageError("it is no architecture: a subclass of capbench.Model with `initialised` (docs/extending.md)")
