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
from capbench.models.anatomy import halves, known, normed, unembedding
from capbench.models.base import Model
from capbench.models.blocks import Blocks
from capbench.models.gpt import Gpt


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
    """A linear map that reads the stream, through a LayerNorm or (compiled models) as it is. bias: None where it has none.

    A map that reads several tokens has a row here for each of them and each of its outputs, and no bias.
    """

    norm: nn.LayerNorm | None
    weight: Float[Tensor, "rows d_model"]
    bias: Float[Tensor, " rows"] | None

    @property
    def weighted(self) -> nn.LayerNorm | None:
        """The norm, if it has a weight and a bias."""
        return self.norm if self.norm is not None and self.norm.elementwise_affine else None


def in_double(change: Callable[..., None]) -> Callable[..., Any]:
    """Make a rewrite of a function that changes the weights of a model in place: it gets a copy in float64.

    The rewrite returns the copy in the model's own precision, and raises UsageError for other architectures.
    """

    @functools.wraps(change)
    def rewrite(model: Any, **arguments: Any) -> Any:
        if not known(model):
            raise UsageError(
                f"only Gpt, subclasses of Blocks and compiled models can be rewritten, not {type(model).__name__}"
            )
        copied = copy.deepcopy(model).double()
        with torch.no_grad():
            change(copied, **arguments)
        return copied.to(next(model.parameters()).dtype)

    return rewrite


def blocks(model: Any) -> list[Any]:
    return list(model.blocks)


def is_relu(model: Model) -> bool:
    """Whether a neuron's output scales with its input."""
    return not normed(model) or getattr(model.config, "activation", "") == "relu"


def has_heads(model: Model) -> bool:
    """Whether it has attention whose heads can be told apart."""
    return not isinstance(model, Blocks)


def heads(model: Any, block: Any) -> Heads:
    """The attention of a block, where there is one."""
    if isinstance(model, Gpt):
        qkv, n = block.attn.qkv, block.attn.n_heads
        query, key, value = map(Rows, qkv.weight.chunk(3), qkv.bias.chunk(3))
        return Heads(n, query, key, value, block.attn.out)
    query, key, value = (Rows(linear.weight, linear.bias) for linear in (block.query, block.key, block.value))
    return Heads(block.n_heads, query, key, value, block.out)


def writers(model: Any) -> list[nn.Linear]:
    """The linear maps whose outputs are added to the stream."""
    return [half.writer for block in halves(model) for half in block]


def readers(model: Any) -> list[Reader]:
    """Everything that reads the stream, the unembedding last."""
    rows = unembedding(model)
    found = [_reader(half.norm, m, rows.shape[1]) for block in halves(model) for half in block for m in half.readers]
    return [*found, Reader(model.norm if normed(model) else None, rows, None)]


def _reader(norm: nn.LayerNorm | None, linear: nn.Linear, d_model: int) -> Reader:
    several = linear.in_features > d_model
    return Reader(norm, linear.weight.view(-1, d_model), None if several else linear.bias)


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
