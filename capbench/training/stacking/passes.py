"""One pass through several models of one architecture: batched matrix products; attention folds the model axis into its batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional as F

from capbench.configs import GptConfig
from capbench.models.attention import attention_at_end, causal_attention
from capbench.models.base import Model
from capbench.models.gpt import Gpt

Parameters = Mapping[str, Tensor]  # by name, each [model, ...]


def logits(
    model: Model, parameters: Parameters, tokens: Int[Tensor, "model batch pos"], position: int | None
) -> Float[Tensor, "model batch pos vocab"]:
    """The logits of every model on its own tokens; with a position, only there (pos = 1).

    model: one of them, for its architecture; its parameters are not used.
    """
    if type(model) is Gpt:
        return gpt_logits(model.config, parameters, tokens, position)

    # The plain forward pass: vmap may not support an architecture's own `answer_logits`.
    found: Tensor = vmap(lambda own, its: functional_call(model, own, (its,)))(dict(parameters), tokens)
    return found if position is None else found[:, :, position : position + 1]


def gpt_logits(
    config: GptConfig, parameters: Parameters, tokens: Int[Tensor, "model batch pos"], position: int | None
) -> Float[Tensor, "model batch pos vocab"]:
    """`Gpt.forward` and `Gpt.answer_logits` for several models. vmap has no rule for fused attention and is far slower."""
    models = tokens.shape[0]
    if position is not None:
        tokens = tokens[:, :, : position + 1]
    embeddings = parameters["token_embedding.weight"]
    first = torch.arange(models, device=tokens.device).view(-1, 1, 1) * embeddings.shape[1]
    x = F.embedding(tokens + first, embeddings.flatten(0, 1))
    x = x + parameters["position_embedding.weight"][:, None, : tokens.shape[2]]
    activation = F.relu if config.activation == "relu" else F.gelu
    for i in range(config.n_blocks):
        own = {n.removeprefix(f"blocks.{i}."): p for n, p in parameters.items() if n.startswith(f"blocks.{i}.")}
        at_end = position is not None and i == config.n_blocks - 1
        mixed = _attention(config, own, _norm(x, own, "norm1"), at_end)
        x = (x[:, :, -1:] if at_end else x) + mixed
        x = x + _linear(activation(_linear(_norm(x, own, "norm2"), own, "mlp_in")), own, "mlp_out")
    x = _norm(x if config.n_blocks or position is None else x[:, :, -1:], parameters, "norm")
    return _linear(x, parameters, "unembedding")


def _attention(config: GptConfig, own: Parameters, x: Tensor, at_end: bool) -> Tensor:
    models, batch = x.shape[:2]
    attention = attention_at_end if at_end else causal_attention
    mixed = attention(_linear(x, own, "attn.qkv").flatten(0, 1), config.n_heads)
    return _linear(mixed.unflatten(0, (models, batch)), own, "attn.out")


def _norm(x: Float[Tensor, "model batch pos d"], own: Parameters, name: str) -> Tensor:
    weight, bias = (own[f"{name}.{part}"][:, None, None] for part in ("weight", "bias"))
    return torch.addcmul(bias, F.layer_norm(x, x.shape[-1:]), weight)


def _linear(x: Float[Tensor, "model batch pos inputs"], own: Parameters, name: str) -> Tensor:
    weight, rows = own[f"{name}.weight"].transpose(1, 2), x.flatten(1, 2)
    bias = own.get(f"{name}.bias")
    y = torch.bmm(rows, weight) if bias is None else torch.baddbmm(bias[:, None], rows, weight)
    return y.view(*x.shape[:-1], -1)
