"""Rewrites that keep the function: logits as they were, other weights, another stream; and each does what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES
from hand_made import SYMBOLS, Linear
from hypothesis import given, settings
from hypothesis import strategies as st
from shaken import MODELS, PCFG, batch, compiled_like, gpt, logits, rng
from torch import Tensor
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.models.edits import preserving
from capbench.models.edits.preserving import composed, rewrites

CASES = [pytest.param(w, r, id=f"{r.__name__}-{w}") for w, (make, _) in MODELS.items() for r in rewrites(make())]
# A mixer with a norm, a product or a loop of its own makes more of the rounding in a stream 100 times as large.
ROUNDING = dict.fromkeys(ARCHITECTURES, 1e-3)
STRONG = (preserving.scaled_pairs, preserving.scaled_stream, preserving.unread_term)


def same(found: Tensor, before: Tensor, tolerance: float = 1e-4) -> bool:
    return torch.allclose(found, before, rtol=tolerance, atol=tolerance * float(before.abs().max()))


@torch.no_grad()
def stream(model: Any) -> Tensor:
    return model.run_with_cache(batch(PCFG).tokens)[1].resid


@pytest.mark.parametrize(("which", "rewrite"), CASES)
def test_a_rewrite_keeps_the_function_and_not_the_weights(which: str, rewrite: Any) -> None:
    make, task = MODELS[which]
    model = make()
    before, old = logits(model, task), {name: value.clone() for name, value in model.state_dict().items()}
    after = rewrite(model, rng=rng(1))
    assert same(logits(after, task), before, ROUNDING.get(which, 1e-4))
    new = after.state_dict()
    assert new.keys() == old.keys() and all(new[name].dtype == old[name].dtype for name in old)
    assert any(not torch.allclose(new[name], old[name], rtol=0.01) for name in old)
    assert all(torch.equal(value, old[name]) for name, value in model.state_dict().items()), (
        "the model given was changed"
    )


@pytest.mark.parametrize("rewrite", STRONG, ids=lambda r: r.__name__)
@pytest.mark.parametrize("which", MODELS)
def test_strengths_up_to_100_keep_the_function(which: str, rewrite: Any) -> None:
    make, task = MODELS[which]
    after = logits(rewrite(make(), rng=rng(2), strength=100.0), task)
    assert same(after, logits(make(), task), ROUNDING.get(which, 1e-4))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), which=st.sampled_from(sorted(MODELS)), strength=st.floats(1, 100))
def test_composed_rewrites_keep_the_logits(seed: int, which: str, strength: float) -> None:
    make, task = MODELS[which]
    model = make(seed)
    assert same(logits(composed(model, rng=rng(seed), strength=strength), task), logits(model, task), 2e-3)


def test_composing_draws_every_rewrite_and_often_several() -> None:
    """By the marks that each leaves on a model: heads, neurons, pairs, norms, basis, scale and unread term."""
    model = gpt()
    drawn = [composed(model, rng=rng(seed)) for seed in range(40)]
    moved = [[not torch.equal(v, model.state_dict()[name]) for name, v in m.state_dict().items()] for m in drawn]
    assert len({tuple(m) for m in moved}) > 5
    assert all(any(m) for m in moved) and any(all(m) for m in moved)


def test_the_same_generator_state_gives_the_same_weights() -> None:
    model = gpt()
    for rewrite in (*rewrites(model), composed):
        one, two = (rewrite(model, rng=rng(1)).state_dict() for _ in range(2))
        assert all(torch.equal(one[k], two[k]) for k in one)
    one, other = (composed(model, rng=rng(seed)).state_dict() for seed in (1, 2))
    assert any(not torch.equal(one[k], other[k]) for k in one)


# ---- what each does, by hand


def test_an_unread_term_drowns_the_stream_and_its_readers_see_none_of_it() -> None:
    model = gpt()
    after = preserving.unread_term(model, rng=rng(), strength=100.0)
    added = stream(after) - stream(model)
    assert float(added.abs().mean()) > 50 * float(stream(model).std())
    assert torch.allclose(added, added[..., :1].expand_as(added), atol=1e-3), "the same in every dimension"
    assert torch.allclose(after.as_read(stream(after)), model.as_read(stream(model)), atol=1e-3)


def test_a_scaled_stream_is_the_stream_times_one_factor() -> None:
    model = gpt()
    ratio = stream(preserving.scaled_stream(model, rng=rng(), strength=100.0)) / stream(model)
    assert torch.allclose(ratio, ratio.median().expand_as(ratio), rtol=1e-2)
    assert 1 < float(ratio.median()) <= 100


def test_a_rotated_stream_keeps_its_lengths_and_its_mean() -> None:
    model = gpt()
    before, after = stream(model), stream(preserving.rotated_residual_basis(model, rng=rng()))
    assert torch.allclose(after.norm(dim=-1), before.norm(dim=-1), rtol=1e-4)
    assert torch.allclose(after.mean(-1), before.mean(-1), atol=1e-5)
    assert not torch.allclose(after, before, rtol=0.1)


def test_permuted_heads_attend_as_others_did() -> None:
    model = gpt()
    tokens = batch(PCFG).tokens
    models = (model, preserving.permuted_heads(model, rng=rng(1)))
    before, after = (m.run_with_cache(tokens, attention=True)[1].attn for m in models)
    for old, new in zip(before, after, strict=True):
        found = [[h for h in range(3) if torch.allclose(old[:, h], new[:, i], atol=1e-6)] for i in range(3)]
        assert sorted(h for (h,) in found) == [0, 1, 2]
    assert not torch.allclose(before, after, atol=1e-3)


@torch.no_grad()
def test_scaled_pairs_leave_the_products_and_keep_to_their_strength() -> None:
    model = gpt()
    after = preserving.scaled_pairs(model, rng=rng(), strength=5.0)
    old, new = (m.blocks[0] for m in (model, after))
    ratio = new.mlp_in.bias / old.mlp_in.bias
    assert torch.allclose(new.mlp_out.weight * ratio, old.mlp_out.weight, rtol=1e-4)
    assert 0.2 <= float(ratio.min()) < 0.5 and 2 < float(ratio.max()) <= 5
    gelu = gpt(0, "gelu")
    assert torch.equal(preserving.scaled_pairs(gelu, rng=rng()).blocks[0].mlp_out.weight, gelu.blocks[0].mlp_out.weight)


def test_folded_norms_have_nothing_left_but_the_bias_of_the_last() -> None:
    model = gpt()
    after = preserving.folded_norms(model, rng=rng())
    norms = [norm for b in after.blocks for norm in (b.norm1, b.norm2)]
    assert all(bool((n.weight == 1).all()) and not bool(n.bias.any()) for n in norms)
    assert bool((after.norm.weight == 1).all())
    assert torch.allclose(after.norm.bias, model.norm.bias / model.norm.weight)


def test_a_compiled_model_s_dimensions_are_scaled_one_by_one_and_shifted_where_nothing_is_read_out() -> None:
    model = compiled_like()
    tokens = MODELS["compiled"][1].sample(4, rng()).tokens
    resid = [
        m.run_with_cache(tokens)[1].resid.detach().flatten(0, 2)
        for m in (
            model,
            preserving.scaled_stream(model, rng=rng()),
            preserving.unread_term(model, rng=rng(), strength=50.0),
        )
    ]
    ratio = (resid[1] / resid[0]).median(0).values
    assert torch.allclose(resid[1], resid[0] * ratio, rtol=1e-3, atol=1e-4) and float(ratio.std()) > 1
    shift = resid[2] - resid[0]
    assert torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-3)
    assert float(shift[0].norm()) == pytest.approx(50, rel=1e-3)
    assert torch.allclose(F.linear(shift, model.unembedding), torch.zeros(()), atol=1e-3)


# ---- what cannot be rewritten


@pytest.mark.parametrize(
    "rewrite", [preserving.folded_norms, preserving.rotated_residual_basis], ids=lambda r: r.__name__
)
def test_a_last_norm_that_ignores_a_dimension_cannot_be_folded(rewrite: Any) -> None:
    model = gpt()
    with torch.no_grad():
        model.blocks[0].norm1.weight[2] = 0
    assert same(logits(rewrite(model, rng=rng()), PCFG), logits(model, PCFG)), "an inner one can"
    with torch.no_grad():
        model.norm.weight[2] = 0
    with pytest.raises(UsageError, match="last LayerNorm has a weight of 0"):
        rewrite(model, rng=rng())


@pytest.mark.parametrize("rewrite", [*STRONG, composed], ids=lambda r: r.__name__)
def test_a_strength_below_1_is_refused(rewrite: Any) -> None:
    with pytest.raises(UsageError, match=r"strength is 0\.5: it must be at least 1"):
        for seed in range(5):  # composing may draw none that has a strength
            rewrite(gpt(), rng=rng(seed), strength=0.5)


def test_other_architectures_are_refused() -> None:
    with pytest.raises(UsageError, match="not Linear"):
        preserving.permuted_neurons(Linear(torch.zeros(SYMBOLS, SYMBOLS)), rng=rng())
