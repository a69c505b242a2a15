"""bfloat16 training where the hardware has none: autocast's own numbers, but for the order of sums, at about float32's cost.

torch computes matrix products of bfloat16 without instructions for it, eight times slower than in float32. Here autocast is on as
ever, and only its products are carried out otherwise:

- `linear`, `matmul`, `mm`, `bmm`, `addmm`, `baddbmm`: inputs rounded to bfloat16, product and sum in float32, result rounded to
  bfloat16 and of that type; so are the gradients. Hardware does the same: exact products, sums in float32.
- `scaled_dot_product_attention`: the same for queries, keys, values and result; in between, what torch's fused kernels round is
  rounded: the probabilities where they are multiplied, and the gradients of the scores.

All else is autocast's own: losses in float32, activations and sums in the type that comes in, weights and AdamW in float32. A
product of another name, or an attention with a mask of its own, is not emulated: it runs under autocast, slow and right. As a
pytest plugin (`-p speed.emulation`) it emulates in every bfloat16 training of that process. It is for the CPU only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from capbench.configs import TrainConfig
from capbench.training import loop as training

PRODUCTS = frozenset(
    {
        *(F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm),
        *(Tensor.matmul, Tensor.__matmul__, Tensor.mm, Tensor.bmm, Tensor.addmm, Tensor.baddbmm),
    }
)


class Emulated(TorchFunctionMode):
    """Products of float32 and bfloat16 tensors as autocast's on hardware that has bfloat16."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and _plain(*args, **kwargs):
            return _in_float32(_attention, args, kwargs)
        if func in PRODUCTS:
            return _in_float32(func, args, kwargs)
        return func(*args, **kwargs)


@contextlib.contextmanager
def emulated() -> Iterator[None]:
    """In place of `torch.autocast("cpu", torch.bfloat16)`."""
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False), Emulated():
        yield


def pytest_configure() -> None:
    """Have every bfloat16 training of this process emulated; worker processes would not see it."""
    own = training.computing

    def computing(config: TrainConfig) -> contextlib.AbstractContextManager[object]:
        return own(config) if config.precision == "float32" else emulated()

    training.computing = computing


def _in_float32(func: Callable[..., Tensor], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """The product of the rounded inputs, rounded. The gradients take the same way back: each `to` rounds them, too."""
    with torch.autocast("cpu", enabled=False):
        found = func(*map(_rounded, args), **{name: _rounded(value) for name, value in kwargs.items()})
        return found.to(torch.bfloat16)


def _rounded(value: Any) -> Any:
    """A tensor's values as bfloat16 holds them, in float32; anything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.bfloat16):
        return value.to(torch.bfloat16).to(torch.float32)
    return value


def _plain(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: object = None, dropout_p: float = 0, **more: Any
) -> bool:
    """Whether it is an attention as `_attention` knows it."""
    return attn_mask is None and dropout_p == 0 and more.keys() <= {"is_causal"}


def _attention(query: Tensor, key: Tensor, value: Tensor, *, is_causal: bool = False) -> Tensor:
    found: Tensor = _Fused.apply(query, key, value, is_causal)
    return found


class _Fused(torch.autograd.Function):
    """Attention of float32 tensors, each [batch, head, pos, d_head], rounding where torch's fused kernels for bfloat16 do."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, is_causal: bool) -> Tensor:
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        if is_causal:
            scores += scores.new_full(scores.shape[-2:], -torch.inf).triu(1)
        attn = (scores - scores.amax(-1, keepdim=True)).exp_()
        total = attn.sum(-1, keepdim=True)
        mixed = _rounded(_rounded(attn) @ value / total)
        ctx.save_for_backward(query, key, value, attn.div_(total), mixed)
        return mixed

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, attn, mixed = ctx.saved_tensors
        d_attn = grad @ value.transpose(-2, -1)
        d_scores = _rounded(attn * (d_attn - (grad * mixed).sum(-1, keepdim=True)))
        scale = query.shape[-1] ** -0.5
        d_query, d_key = d_scores @ key * scale, d_scores.transpose(-2, -1) @ query * scale
        return d_query, d_key, _rounded(attn).transpose(-2, -1) @ grad, None
