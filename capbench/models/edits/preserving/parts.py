"""The parts of a model that rewrites of it need: what writes to the residual stream, what reads it, and what lies between."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.models.gpt import Gpt
from capbench.models.tracr.transformer import TracrTransformer


class Rows(NamedTuple):
    """Some outputs of a linear map, as views of its weight and bias."""

    weight: Float[Tensor, "rows inputs"]
    bias: Float[Tensor, " rows"]


class Heads(NamedTuple):
    """The attention of one block. Rows of queries, keys and values, and columns of `out`, go head by head."""

    n_heads: int
    query: Rows
    key: Rows
    value: Rows
    out: nn.Linear


class Reader(NamedTuple):
    """A linear map that reads the stream, through a LayerNorm or (compiled models) as it is. bias: None where it has none."""

    norm: nn.LayerNorm | None
    weight: Float[Tensor, "rows d_model"]
    bias: Float[Tensor, " rows"] | None


def in_double(change: Callable[..., None]) -> Callable[..., Any]:
    """Make a rewrite of a function that changes the weights of a model in place: it gets a copy in float64.

    The rewrite returns the copy in the model's own precision, and raises UsageError for other architectures.
    """

    @functools.wraps(change)
    def rewrite(model: Any, **arguments: Any) -> Any:
        if not isinstance(model, (Gpt, TracrTransformer)):
            raise UsageError(f"only Gpt and compiled models can be rewritten, not {type(model).__name__}")
        copied = copy.deepcopy(model).double()
        with torch.no_grad():
            change(copied, **arguments)
        return copied.to(next(model.parameters()).dtype)

    return rewrite


def blocks(model: Any) -> list[Any]:
    return list(model.blocks)


def is_relu(model: Model) -> bool:
    """Whether a neuron's output scales with its input."""
    return not isinstance(model, Gpt) or model.config.activation == "relu"


def heads(model: Any, block: Any) -> Heads:
    """The attention of a block."""
    if isinstance(model, Gpt):
        qkv, n = block.attn.qkv, block.attn.n_heads
        query, key, value = map(Rows, qkv.weight.chunk(3), qkv.bias.chunk(3))
        return Heads(n, query, key, value, block.attn.out)
    query, key, value = (Rows(linear.weight, linear.bias) for linear in (block.query, block.key, block.value))
    return Heads(block.n_heads, query, key, value, block.out)


def embeddings(model: Any) -> list[Float[Tensor, "entry d_model"]]:
    return [model.token_embedding.weight, model.position_embedding.weight]


def writers(model: Any) -> list[nn.Linear]:
    """The linear maps whose outputs are added to the stream."""
    return [linear for block in blocks(model) for linear in (heads(model, block).out, block.mlp_out)]


def readers(model: Any) -> list[Reader]:
    """Everything that reads the stream, the unembedding last."""
    if isinstance(model, Gpt):
        pairs = [pair for b in blocks(model) for pair in ((b.norm1, b.attn.qkv), (b.norm2, b.mlp_in))]
        return [Reader(norm, m.weight, m.bias) for norm, m in [*pairs, (model.norm, model.unembedding)]]
    linears = [linear for b in blocks(model) for linear in (b.query, b.key, b.value, b.mlp_in)]
    return [*(Reader(None, m.weight, m.bias) for m in linears), Reader(None, model.unembedding, None)]


def factors(n: int, strength: float, rng: torch.Generator, *, least: float | None = None) -> Float[Tensor, " n"]:
    """Factors between `least` (1 / strength, if not given) and `strength`, evenly on a logarithmic scale."""
    check_strength(strength)
    low, high = torch.tensor([1 / strength if least is None else least, strength], dtype=torch.float64).log()
    drawn: Tensor = (low + (high - low) * torch.rand(n, generator=rng, dtype=torch.float64)).exp()
    return drawn


def check_strength(strength: float) -> None:
    """Raise UsageError for a strength below 1."""
    if not strength >= 1:
        raise UsageError(f"strength is {strength}: it must be at least 1, the largest factor of a rewrite")
