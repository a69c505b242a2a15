"""The GPT: its activations are those it computes with, it sees no future, and its weights come from one generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from capbench.configs import GptConfig
from capbench.errors import UsageError
from capbench.models.gpt import Gpt

CONFIG = GptConfig(vocab_size=11, seq_len=9, d_model=12, n_blocks=3, n_heads=2)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["gelu", "relu"])
def model(request: pytest.FixtureRequest) -> Gpt:
    """Weights large enough that attention is far from uniform and no norm or bias is at its start."""
    made = Gpt.initialised(GptConfig(**{**vars(CONFIG), "activation": request.param}), rng())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng(parameter.numel())) * 0.5)
    return made.eval()


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(CONFIG.vocab_size, (4, CONFIG.seq_len), generator=rng(1))


def test_fused_attention_equals_the_explicit_map(model: Gpt, tokens: torch.Tensor) -> None:
    fused, explicit = model(tokens), model.run_with_cache(tokens, attention=True)
    torch.testing.assert_close(explicit[0], fused, atol=1e-5, rtol=1e-5)
    cached, without = model.run_with_cache(tokens)
    torch.testing.assert_close(cached, fused, atol=0, rtol=0)
    torch.testing.assert_close(explicit[1].resid, without.resid, atol=1e-5, rtol=1e-5)
    assert without.attn is None


def test_attention_maps_are_distributions_over_the_past(model: Gpt, tokens: torch.Tensor) -> None:
    attn = model.run_with_cache(tokens, attention=True)[1].attn
    assert attn is not None
    assert attn.shape == (CONFIG.n_blocks, len(tokens), CONFIG.n_heads, CONFIG.seq_len, CONFIG.seq_len)
    torch.testing.assert_close(attn.sum(-1), torch.ones(attn.shape[:-1]))
    assert attn.min() >= 0 and (attn.triu(1) == 0).all()
    assert attn[..., -1, :].std(-1).min() > 1e-3  # and they are not merely uniform


@pytest.mark.parametrize("position", [0, 4, CONFIG.seq_len - 1])
def test_the_answer_alone_and_its_gradients_are_those_of_the_plain_pass(
    model: Gpt, tokens: torch.Tensor, position: int
) -> None:
    plain, alone = model(tokens)[:, position], model.answer_logits(tokens, position)
    torch.testing.assert_close(alone, plain, atol=1e-4, rtol=1e-5)
    weights = torch.randn(plain.shape, generator=rng(3))
    parameters = list(model.parameters())
    for found, expected in zip(
        torch.autograd.grad((alone * weights).sum(), parameters, materialize_grads=True),
        torch.autograd.grad((plain * weights).sum(), parameters, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("module", ["", "blocks.2", "blocks.2.attn", "blocks.2.mlp_in", "blocks.0", "blocks.2.norm2"])
def test_a_hook_on_any_module_sees_all_positions_on_the_way_to_an_answer(
    model: Gpt, tokens: torch.Tensor, module: str
) -> None:
    seen: list[Any] = []
    model.get_submodule(module).register_forward_hook(lambda _, given, out: seen.append(out.shape[:2]))
    model.answer_logits(tokens, 5)
    assert seen == [tokens.shape]


def test_a_model_without_blocks_answers_too(tokens: torch.Tensor) -> None:
    bare = Gpt.initialised(GptConfig(**{**vars(CONFIG), "n_blocks": 0}), rng())
    torch.testing.assert_close(bare.answer_logits(tokens, 3), bare(tokens)[:, 3])


@pytest.mark.parametrize("changed", range(CONFIG.seq_len))
def test_a_later_token_changes_no_earlier_logits(model: Gpt, tokens: torch.Tensor, changed: int) -> None:
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % CONFIG.vocab_size
    torch.testing.assert_close(model(other)[:, :changed], model(tokens)[:, :changed], atol=1e-6, rtol=1e-6)
    assert ((model(other) - model(tokens))[:, changed:].abs().amax(-1) > 1e-4).all()


def test_a_prefix_is_read_as_within_the_whole_string(model: Gpt, tokens: torch.Tensor) -> None:
    torch.testing.assert_close(model(tokens[:, :4]), model(tokens)[:, :4], atol=1e-5, rtol=1e-5)


def test_position_matters(model: Gpt) -> None:
    same = model.run_with_cache(torch.zeros(1, 3, dtype=torch.long))[1].resid[0, 0]
    assert not torch.allclose(same[0], same[1])


def test_the_residual_stream_is_embedding_then_blocks_and_reads_out_to_the_logits(
    model: Gpt, tokens: torch.Tensor
) -> None:
    logits, (resid, _) = model.run_with_cache(tokens)
    assert resid.shape == (1 + CONFIG.n_blocks, *tokens.shape, CONFIG.d_model)
    assert logits.shape == (*tokens.shape, CONFIG.vocab_size)
    positions = torch.arange(CONFIG.seq_len)
    torch.testing.assert_close(resid[0], model.token_embedding(tokens) + model.position_embedding(positions))
    for before, after, block in zip(resid, resid[1:], model.blocks, strict=False):
        torch.testing.assert_close(block(before), after)
    torch.testing.assert_close(model.unembedding(model.norm(resid[-1])), logits)


def test_activations_differ_between_gelu_and_relu(tokens: torch.Tensor) -> None:
    gelu, relu = (Gpt.initialised(GptConfig(**{**vars(CONFIG), "activation": a}), rng()) for a in ("gelu", "relu"))
    for name, parameter in gelu.state_dict().items():
        assert torch.equal(parameter, relu.state_dict()[name]), name
    assert not torch.allclose(gelu(tokens), relu(tokens))


def test_the_papers_model_has_2_7_million_parameters_besides_embeddings() -> None:
    paper = Gpt(GptConfig(vocab_size=30, seq_len=259, d_model=192, n_blocks=6, n_heads=6))
    count = sum(p.numel() for name, p in paper.named_parameters() if "embedding" not in name)
    assert count == 6 * (12 * 192**2 + 13 * 192) + 2 * 192 == 2_669_568


def test_neurons_are_the_rows_of_all_linear_maps_but_the_unembedding(model: Gpt) -> None:
    rows = {name: tuple(linear.weight.shape) for name, linear in model.neurons().items()}
    d = CONFIG.d_model
    block = {"attn.qkv": (3 * d, d), "attn.out": (d, d), "mlp_in": (4 * d, d), "mlp_out": (d, 4 * d)}
    assert rows == {f"blocks.{i}.{name}": shape for i in range(CONFIG.n_blocks) for name, shape in block.items()}


def test_weights_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), Gpt.initialised(CONFIG, rng())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    again, other = Gpt.initialised(CONFIG, rng()), Gpt.initialised(CONFIG, rng(1))
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, dict(again.named_parameters())[name]), name
        if parameter.dim() > 1:
            assert not torch.equal(parameter, dict(other.named_parameters())[name]), name


def test_initialisation_is_gpt_2s() -> None:
    big = Gpt.initialised(GptConfig(vocab_size=50, seq_len=40, d_model=64, n_blocks=8, n_heads=4), rng())
    for name, parameter in big.named_parameters():
        if "norm" in name or name.endswith("bias"):
            assert (parameter == (0 if name.endswith("bias") else 1)).all(), name
        else:
            residual = name.endswith(("out.weight", "mlp_out.weight"))
            assert parameter.std().item() == pytest.approx(0.005 if residual else 0.02, rel=0.1), name


def test_a_string_that_is_too_long_is_refused_with_both_lengths(model: Gpt) -> None:
    with pytest.raises(UsageError, match=r"10 tokens.* at most 9"):
        model(torch.zeros(1, 10, dtype=torch.long))
    with pytest.raises(UsageError, match=r"10 tokens.* at most 9"):
        model.run_with_cache(torch.zeros(1, 10, dtype=torch.long))


@pytest.mark.parametrize(
    "wrong, quoted",
    [({"n_heads": 5}, "12 must be a multiple of n_heads 5"), ({"activation": "tanh"}, "'tanh'")],
)
def test_an_impossible_architecture_is_refused_with_the_value(wrong: dict[str, Any], quoted: str) -> None:
    with pytest.raises(UsageError, match=quoted):
        GptConfig(**{**vars(CONFIG), **wrong})


def test_the_stream_as_read_is_all_that_any_reader_sees(model: Gpt, tokens: torch.Tensor) -> None:
    resid = model.run_with_cache(tokens)[1].resid
    seen = model.as_read(resid)
    # Each norm gives its weight times that, plus its bias; what it removes moves nothing.
    for norm, stream, read in zip([*(b.norm1 for b in model.blocks), model.norm], resid, seen, strict=True):
        torch.testing.assert_close(norm(stream), read * norm.weight + norm.bias)
    shift = torch.randn(resid.shape[:-1], generator=rng(2))[..., None]
    torch.testing.assert_close(model.as_read(resid + 50 * shift), seen, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(model.as_read(30 * resid), seen, atol=1e-3, rtol=1e-3)
