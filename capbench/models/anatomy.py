"""What reads and what writes the residual stream, in architectures that are known inside: for rewrites, patching and pruning."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.models.blocks import Block, Blocks
from capbench.models.gpt import Gpt
from capbench.models.tracr.transformer import TracrTransformer


class Half(NamedTuple):
    """Half a block: attention or another mixer of tokens, or the MLP.

    norm: through which it reads the stream; None in compiled models. readers: the linear maps that read, those of a convolution
    several tokens at once. writer: the linear map whose output is added to the stream.
    """

    norm: nn.LayerNorm | None
    readers: tuple[nn.Linear, ...]
    writer: nn.Linear


def known(model: Model) -> bool:
    """Whether `halves` can tell: a GPT, another mixer in the GPT's blocks, or a compiled model."""
    return isinstance(model, (Gpt, Blocks, TracrTransformer))


def normed(model: Model) -> bool:
    """Whether the stream is read through LayerNorms."""
    return isinstance(model, (Gpt, Blocks))


def halves(model: Any) -> list[tuple[Half, Half]]:
    """The two halves of each block, the mixer's first. Raises UsageError for other architectures."""
    if not known(model):
        raise UsageError(
            f"{type(model).__name__}: what reads and writes its residual stream is not known, only that of Gpt, of subclasses of "
            "Blocks and of compiled models"
        )
    return [(_mixer(block), _mlp(block)) for block in model.blocks]


def _mixer(block: Any) -> Half:
    if isinstance(block, Block):
        return Half(block.norm1, (_read(block.mixer),), block.out)
    if hasattr(block, "attn"):
        return Half(block.norm1, (block.attn.qkv,), block.attn.out)
    return Half(None, (block.query, block.key, block.value), block.out)


def _read(mixer: Any) -> nn.Linear:
    for name in ("read", "qkv"):
        if isinstance(linear := getattr(mixer, name, None), nn.Linear):
            return linear
    raise UsageError(
        f"{type(mixer).__name__} has no nn.Linear called `read` (`qkv` in attention), which reads the stream"
    )


def _mlp(block: Any) -> Half:
    return Half(getattr(block, "norm2", None), (block.mlp_in,), block.mlp_out)


def embeddings(model: Any) -> list[Float[Tensor, "entry d_model"]]:
    """What is written to the stream at first: of tokens, and of positions where there are any."""
    positions = model.position_embedding
    return [model.token_embedding.weight, *([] if positions is None else [positions.weight])]


def unembedding(model: Any) -> Float[Tensor, "outputs d_model"]:
    """The rows of answers; of a compiled model a buffer. Raises UsageError where they are tied to the embedding."""
    if getattr(model.config, "tied", False):
        raise UsageError(
            f"{type(model).__name__}: its unembedding is its embedding, so no change of it is one of answers alone"
        )
    rows: Tensor = getattr(model.unembedding, "weight", model.unembedding)
    return rows
