"""Causal multi-head attention from queries, keys and values in one tensor: fused, or on a CPU in blocks of queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

_QUERIES = 65  # in a block, about; keys after a block's last query are left out of its products
_SCORES = 2**19  # in a block, at most: what fits in a core's cache (2 MB) until the softmax


def causal_attention(qkv: Float[Tensor, "batch pos 3*d_model"], n_heads: int) -> Float[Tensor, "batch pos d_model"]:
    """The outputs of all heads, concatenated; no dropout. qkv: queries, keys, values, each with its heads concatenated.

    On a CPU with float32 gradients, torch's fused attention takes twice the time of plain products.
    """
    wanted = qkv.requires_grad and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    if wanted and qkv.device.type == "cpu" and qkv.dtype == torch.float32:
        mixed: Tensor = _Blocked.apply(qkv, n_heads)[0]  # type: ignore[no-untyped-call]
        return mixed
    q, k, v = heads(qkv, n_heads)
    return merged(F.scaled_dot_product_attention(q, k, v, is_causal=True))


def attention_at_end(qkv: Float[Tensor, "batch pos 3*d_model"], n_heads: int) -> Float[Tensor, "batch 1 d_model"]:
    """`causal_attention` at the last position."""
    q, k, v = heads(qkv, n_heads)
    return merged(F.scaled_dot_product_attention(q[:, :, -1:], k, v))


def heads(qkv: Float[Tensor, "batch pos 3*d_model"], n_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each [batch, head, pos, d_head]."""
    q, k, v = qkv.unflatten(-1, (3, n_heads, -1)).permute(2, 0, 3, 1, 4)
    return q, k, v


def merged(mixed: Float[Tensor, "batch head pos d_head"]) -> Float[Tensor, "batch pos d_model"]:
    """Concatenate the heads."""
    return mixed.transpose(1, 2).flatten(2)


class _Blocked(torch.autograd.Function):
    """Attention for some strings and about `_QUERIES` queries at a time. Probabilities are saved for the backward pass.

    Supports torch.func's grad and vmap of grad, not forward mode.
    """

    @staticmethod
    def forward(qkv: Tensor, n_heads: int) -> tuple[Tensor, ...]:
        """The result; then, for the backward pass, q, k, v [3, batch * head, pos, d_head] and the blocks' probabilities."""
        batch, pos, _ = qkv.shape
        split = qkv.unflatten(-1, (3, n_heads, -1)).permute(2, 0, 3, 1, 4).flatten(1, 2).contiguous()
        q, k, v = split.unbind()
        masked = _future_scores(qkv)
        mixed, kept = torch.empty_like(q), []
        for some, first, end in _blocks(batch, pos, n_heads):
            keys = k[some, :end].transpose(1, 2)
            scores = torch.baddbmm(masked[first:end, :end], q[some, first:end], keys, alpha=q.shape[-1] ** -0.5)
            attn = scores.softmax(-1)
            mixed[some, first:end] = attn @ v[some, :end]
            kept.append(attn)
        return merged(mixed.unflatten(0, (batch, n_heads))), split, *kept

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor, ...]) -> None:
        qkv, ctx.n_heads = inputs
        mixed, *kept = output
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(qkv, mixed, *kept)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        qkv, mixed, split, *kept = ctx.saved_tensors
        grad, n_heads = grads[0], ctx.n_heads
        if grad is None:
            return None, None
        if torch.is_grad_enabled():
            return _differentiable_backward(qkv, grad, n_heads), None
        batch, pos, _ = qkv.shape
        q, k, v = split.unbind()
        scale = q.shape[-1] ** -0.5
        # The common part of the gradients of a query's probabilities, as they sum to 1: [batch * head, pos, 1].
        common = (grad * mixed).unflatten(-1, (n_heads, -1)).sum(-1).transpose(1, 2).flatten(0, 1)[..., None]
        grad = grad.unflatten(-1, (n_heads, -1)).transpose(1, 2).flatten(0, 1)
        found = torch.zeros_like(split)
        dq, dk, dv = found.unbind()
        for attn, (some, first, end) in zip(kept, _blocks(batch, pos, n_heads), strict=True):
            its = grad[some, first:end]
            dv[some, :end].baddbmm_(attn.transpose(1, 2), its)
            d_scores = torch.baddbmm(common[some, first:end], its, v[some, :end].transpose(1, 2), beta=-1).mul_(attn)
            dq[some, first:end].baddbmm_(d_scores, k[some, :end], alpha=scale)
            dk[some, :end].baddbmm_(d_scores.transpose(1, 2), q[some, first:end], alpha=scale)
        return found.unflatten(1, (batch, n_heads)).permute(1, 3, 0, 2, 4).flatten(2), None


def _blocks(batch: int, pos: int, n_heads: int) -> Iterator[tuple[slice, int, int]]:
    """The blocks in order: which strings' heads, first query, end of queries (exclusive)."""
    n = max(1, round(pos / _QUERIES))
    edges = [round(i * pos / n) for i in range(n + 1)]
    together = n_heads * max(1, _SCORES // (n_heads * -(-pos // n) * pos))
    for start in range(0, batch * n_heads, together):
        for first, end in itertools.pairwise(edges):
            yield slice(start, min(start + together, batch * n_heads)), first, end


def future_mask(n: int, device: torch.device) -> Bool[Tensor, "query key"]:
    """The causal mask of n positions: True where the key comes after the query."""
    return torch.ones(n, n, dtype=torch.bool, device=device).triu(1)


def _future_scores(like: Tensor) -> Float[Tensor, "query key"]:
    """What is added to the scores: -inf where the key comes after the query, else 0."""
    n = like.shape[1]
    return like.new_zeros(n, n).masked_fill(future_mask(n, like.device), -torch.inf)


def _differentiable_backward(qkv: Tensor, grad: Tensor, n_heads: int) -> Tensor:
    """The backward pass in differentiable operations, for higher derivatives."""
    q, k, v = heads(qkv, n_heads)
    scale = q.shape[-1] ** -0.5
    attn = (scale * q @ k.transpose(-2, -1) + _future_scores(qkv)).softmax(-1)
    its = grad.unflatten(-1, (n_heads, -1)).transpose(1, 2)
    d_attn = its @ v.transpose(-2, -1)
    d_scores = scale * attn * (d_attn - (d_attn * attn).sum(-1, keepdim=True))
    parts = torch.stack([d_scores @ k, d_scores.transpose(-2, -1) @ q, attn.transpose(-2, -1) @ its])
    return parts.permute(1, 3, 0, 2, 4).flatten(2)
