"""The GPT's attention in blocks: the fused one's result and gradients at all sizes, whoever differentiates it and how."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from capbench.models import attention
from capbench.models.attention import attention_at_end, causal_attention, heads, merged


def fused(qkv: Tensor, n_heads: int) -> Tensor:
    return merged(F.scaled_dot_product_attention(*heads(qkv, n_heads), is_causal=True))


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_by_hand() -> None:
    """One head of width 1. Query 0 sees itself alone; query 1 is 0, so it looks at both alike."""
    qkv = torch.tensor([[[5.0, 3.0, 10.0], [0.0, 7.0, 20.0]]], requires_grad=True)
    mixed = causal_attention(qkv, 1)
    assert mixed.flatten().tolist() == [10.0, 15.0]
    mixed[0, 1].backward()
    # dv: half each. dq of the second: (3 - 7) * .25 * (10 - 20); dk would need a query other than 0.
    assert qkv.grad is not None
    assert qkv.grad.tolist() == [[[0.0, 0.0, 0.5], [10.0, 0.0, 0.5]]]


@given(
    batch=st.integers(1, 5),
    pos=st.integers(1, 200),
    n_heads=st.integers(1, 3),
    width=st.integers(1, 6),
    scores=st.sampled_from([1, 5000, 2**19]),
)
def test_as_the_fused_one_however_it_is_cut(batch: int, pos: int, n_heads: int, width: int, scores: int) -> None:
    qkv = drawn(batch, pos, 3 * n_heads * width).requires_grad_()
    grad = drawn(batch, pos, n_heads * width, seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_SCORES", scores)
        found = causal_attention(qkv, n_heads)
        (found_grad,) = torch.autograd.grad(found, qkv, grad)
    expected = fused(qkv, n_heads)
    (expected_grad,) = torch.autograd.grad(expected, qkv, grad)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found_grad, expected_grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(attention_at_end(qkv, n_heads), expected[:, -1:], atol=1e-5, rtol=1e-5)


def test_gradients_of_gradients() -> None:
    """As of a penalty on gradients, or of a method that looks ahead."""

    def twice(attend: object, qkv: Tensor) -> Tensor:
        (grad,) = torch.autograd.grad(attend(qkv, 2).square().sum(), qkv, create_graph=True)  # type: ignore[operator]
        return torch.autograd.grad(grad.square().sum(), qkv)[0]

    qkv = drawn(2, 5, 24).requires_grad_()
    exact = qkv.detach().double().requires_grad_()  # in which the plain way is taken
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected = twice(fused, exact)
    torch.testing.assert_close(twice(causal_attention, qkv), expected.float(), atol=1e-3, rtol=1e-3)


def test_gradients_of_each_string_by_torch_func() -> None:
    qkv = drawn(3, 7, 24)
    each = torch.func.vmap(torch.func.grad(lambda own: causal_attention(own[None], 2).square().sum()))(qkv)
    asked = qkv.clone().requires_grad_()
    (expected,) = torch.autograd.grad(fused(asked, 2).square().sum(), asked)
    torch.testing.assert_close(each, expected, atol=1e-4, rtol=1e-4)


def test_what_is_kept_for_gradients_is_not_kept_without() -> None:
    """Evaluations have hundreds of strings: all their probabilities at once would be gigabytes."""
    qkv = drawn(2, 6, 24).requires_grad_()
    assert "_Blocked" in type(causal_attention(qkv, 2).grad_fn).__name__
    with torch.no_grad():
        assert causal_attention(qkv, 2).grad_fn is None
    assert "_Blocked" not in type(causal_attention(qkv.bfloat16(), 2).grad_fn).__name__


def test_under_autocast_it_is_the_fused_one() -> None:
    """Adapters that cast back give float32 there, too."""
    qkv = drawn(2, 6, 24).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = causal_attention(qkv, 2)
    assert "_Blocked" not in type(mixed.grad_fn).__name__
    mixed.float().sum().backward()
    assert qkv.grad is not None and qkv.grad.dtype == torch.float32
