"""The torch model of compiled programs on random weights: the fast answer equals the plain one, and caches what it computes."""

from __future__ import annotations

import copy
import itertools
import json
import math
from typing import Any

import pytest
import torch
from random_tracr import POSITIONS, VOCABULARY, config, random_model
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer

BATCH = 5


def strings(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(len(VOCABULARY), (BATCH, length), generator=torch.Generator().manual_seed(seed))


def gradients(model: TracrTransformer, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of a loss that weighs all outputs differently, for every parameter."""
    targets = torch.arange(len(logits)) % logits.shape[1]
    loss = F.cross_entropy(logits, targets) + (logits**3).sum() / 100
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


SHAPES = [*itertools.product((1, 2, 3), (1, 2, 3, 4), (False, True))]


@pytest.mark.parametrize("n_heads, n_blocks, causal", SHAPES)
@pytest.mark.parametrize(
    "length, position", [(POSITIONS, 0), (POSITIONS, 2), (POSITIONS, POSITIONS - 1), (4, 2), (1, 0)]
)
def test_the_fast_answer_and_its_gradients_are_those_of_the_plain_pass(
    n_heads: int, n_blocks: int, causal: bool, length: int, position: int
) -> None:
    model = random_model(n_heads=n_heads, n_blocks=n_blocks, causal=causal)
    tokens = strings(length)
    plain, fast = model(tokens)[:, position], model.answer_logits(tokens, position)
    torch.testing.assert_close(fast, plain, atol=1e-11, rtol=1e-11)
    expected, found = gradients(model, plain), gradients(model, fast)
    largest = max(float(g.abs().max()) for g in expected.values())
    assert largest > 1e-3
    for name in expected:  # in double precision, relative to the largest: a key's bias has none but rounding errors
        assert (found[name] - expected[name]).abs().max() < 1e-12 * largest, name


def test_every_kind_of_weight_matters_to_the_answer() -> None:
    """Otherwise the test above could not see its gradient missing."""
    model = random_model(n_heads=3, n_blocks=3)
    found = gradients(model, model.answer_logits(strings(POSITIONS), 2))
    for name, gradient in found.items():
        # A key's bias adds the same to all of a query's scores, and so nothing.
        assert (gradient.abs().max() > 1e-4) != name.endswith("key.bias"), name


@pytest.mark.parametrize("numerical", [False, True])
def test_the_fast_answer_of_a_single_output_and_without_gradients(numerical: bool) -> None:
    model = random_model(outputs=None if numerical else ("only",))
    tokens = strings(POSITIONS)
    with torch.no_grad():
        torch.testing.assert_close(model.answer_logits(tokens, 3), model(tokens)[:, 3], atol=1e-11, rtol=1e-11)
    assert model(tokens).shape == (BATCH, POSITIONS, 1)


def test_the_fast_answer_trains_frozen_parts_too() -> None:
    """Where only some weights take gradients, those are the same, and the others have none."""
    model = random_model(n_blocks=3)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("mlp_in" in name or "query" in name)
    tokens = strings(POSITIONS)
    found = []
    for logits in (model(tokens)[:, 2], model.answer_logits(tokens, 2)):
        model.zero_grad()
        F.cross_entropy(logits, torch.arange(BATCH) % 4).backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    plain, fast = found
    for name, gradient in plain.items():
        assert (gradient is None) == (fast[name] is None) == (not model.get_parameter(name).requires_grad)
        if gradient is not None:
            torch.testing.assert_close(fast[name], gradient, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
def test_a_later_token_changes_an_earlier_answer_unless_causal(causal: bool) -> None:
    model, tokens = random_model(causal=causal), strings(POSITIONS)
    other = tokens.clone()
    other[:, -1] = (other[:, -1] + 1) % len(VOCABULARY)
    same = torch.isclose(model.answer_logits(tokens, 2), model.answer_logits(other, 2), atol=1e-9, rtol=0).all(-1)
    assert same.all() if causal else not same.any()


def test_the_model_is_attention_and_mlps_on_a_sum() -> None:
    """Against formulas written out per head and position."""
    model, tokens = random_model(n_heads=2, n_blocks=2), strings(4)[:1]
    logits, (resid, attn) = model.run_with_cache(tokens, attention=True)
    assert attn is not None
    x = torch.stack(
        [model.token_embedding.weight[t] + model.position_embedding.weight[i] for i, t in enumerate(tokens[0])]
    )
    torch.testing.assert_close(resid[0, 0], x)
    for layer, block in enumerate(model.blocks):
        parts: Any = block
        added = torch.zeros_like(x)
        for head in range(2):
            rows = slice(3 * head, 3 * head + 3)
            q, k, v = (x @ m.weight[rows].T + m.bias[rows] for m in (parts.query, parts.key, parts.value))
            weights = torch.softmax(q @ k.T / math.sqrt(3), -1)
            torch.testing.assert_close(attn[layer, 0, head], weights)
            added += weights @ v @ parts.out.weight[:, rows].T
        x = x + added + parts.out.bias
        hidden = (x @ parts.mlp_in.weight.T + parts.mlp_in.bias).clamp(min=0)
        x = x + hidden @ parts.mlp_out.weight.T + parts.mlp_out.bias
        torch.testing.assert_close(resid[layer + 1, 0], x)
    torch.testing.assert_close(logits[0], x @ model.unembedding.T)


def test_the_cache_has_its_shapes_and_agrees_with_forward() -> None:
    model, tokens = random_model(n_blocks=3), strings(6)
    logits, cache = model.run_with_cache(tokens)
    assert cache.attn is None
    assert cache.resid.shape == (4, BATCH, 6, 10) and logits.shape == (BATCH, 6, 4)
    torch.testing.assert_close(logits, model(tokens), atol=0, rtol=0)
    with_attention, (resid, attn) = model.run_with_cache(tokens, attention=True)
    torch.testing.assert_close(with_attention, logits, atol=0, rtol=0)
    torch.testing.assert_close(resid, cache.resid, atol=0, rtol=0)
    assert attn is not None and attn.shape == (3, BATCH, 2, 6, 6)
    torch.testing.assert_close(attn.sum(-1), torch.ones(attn.shape[:-1]).double())


def test_apply_gives_tracrs_residuals_two_per_block_and_decodes() -> None:
    model = random_model(n_blocks=3).float()
    string = ["BOS", 1, "1", None, "PAD"]
    output = model.apply(string)
    logits, (resid, attn) = model.run_with_cache(torch.tensor([[0, 2, 3, 4, 1]]), attention=True)
    assert len(output.residuals) == 6 and attn is not None
    torch.testing.assert_close(torch.stack(output.residuals[1::2]), resid[1:, 0])
    torch.testing.assert_close(output.attn, attn[:, 0])
    assert output.decoded == ["BOS", *((False, True, None, "a")[i] for i in logits[0, 1:].argmax(-1))]
    assert not output.attn.requires_grad


def test_neurons_are_the_rows_of_all_linear_maps() -> None:
    rows = {name: tuple(linear.weight.shape) for name, linear in random_model().neurons().items()}
    block = {"query": (6, 10), "key": (6, 10), "value": (6, 10), "out": (10, 6), "mlp_in": (6, 10), "mlp_out": (10, 6)}
    assert rows == {f"blocks.{i}.{name}": shape for i in range(2) for name, shape in block.items()}


def test_a_copy_and_a_restored_state_compute_the_same_and_share_nothing() -> None:
    model, tokens = random_model(), strings(POSITIONS)
    copied, restored = copy.deepcopy(model), TracrTransformer(config()).double()
    restored.load_state_dict(model.state_dict())
    expected = model(tokens)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for other in (copied, restored):
        assert other.config == config() and torch.equal(other(tokens), expected)
        assert torch.equal(other.answer_logits(tokens, 2), copied.answer_logits(tokens, 2))
    assert "unembedding" in model.state_dict() and "unembedding" not in dict(model.named_parameters())


@pytest.mark.parametrize(
    "string, quoted",
    [
        ([], r"'made by hand'.*begin with BOS 'BOS', got \[\]"),
        ([1, "1"], r"'made by hand'.*begin with BOS 'BOS', got \[1\]"),
        (["BOS", 1, 2], "'made by hand'.*token 2 is not in.*'BOS', 'PAD', 1, '1', None"),
        (["BOS"] + [1] * POSITIONS, "'made by hand'.*8 tokens.*at most 7"),
    ],
)
def test_a_string_that_the_program_cannot_read_is_refused(string: list[Any], quoted: str) -> None:
    with pytest.raises(UsageError, match=quoted) as raised:
        random_model().apply(string)
    assert "\n" not in str(raised.value)


def test_a_batch_that_is_too_long_is_refused_by_every_entry() -> None:
    model, tokens = random_model(), torch.zeros(1, POSITIONS + 1, dtype=torch.long)
    for call in (model, model.run_with_cache, lambda t: model.answer_logits(t, 1)):
        with pytest.raises(UsageError, match=r"8 tokens.*'made by hand'.* at most 7"):
            call(tokens)


@pytest.mark.parametrize(
    "vocabulary",
    [
        ("BOS", "PAD", 1, 2, -3),
        ("BOS", "PAD", 0.1, 1e-30, -0.0, 1e300),
        ("BOS", "PAD", True, False, None),
        ("BOS", "PAD", "", "None", "1", 'it\'s a "token"\n', "é"),
        ("BOS", "PAD", (1, "a"), (1.0, (None, True)), (), ("a",)),
    ],
)
@pytest.mark.parametrize("outputs", [None, (0, 0.5, "0", None, (True, None)), (True,), ()])
def test_the_config_survives_json_types_included(vocabulary: tuple[Any, ...], outputs: tuple[Any, ...] | None) -> None:
    before = config(vocabulary=vocabulary, outputs=outputs)
    after = TracrConfig.from_json(json.loads(json.dumps(before.to_json())))
    assert after == before and repr(after) == repr(before)  # 1, 1.0 and True are equal, and their reprs are not
