"""What holds of every architecture made of blocks: no future, one generator, the answer alone, the stream, neurons, training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from architectures import ARCHITECTURES, SIZES, fresh, maps, rng, shaken, strings
from hypothesis import given, settings
from hypothesis import strategies as st
from recall import Recall
from torch import nn

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.measure.accuracy import accuracy, sample
from capbench.measure.attention import attention_maps
from capbench.measure.prune import pruned
from capbench.models.base import passes
from capbench.models.blocks import Blocks, Mixer
from capbench.models.sizes import BlocksConfig
from capbench.training.loop import fit

every = pytest.mark.parametrize("which", ARCHITECTURES)
SHAKEN = {which: shaken(which) for which in ARCHITECTURES}


@settings(max_examples=60)
@given(
    which=st.sampled_from(sorted(ARCHITECTURES)),
    tokens=st.lists(st.integers(0, SIZES["vocab_size"] - 1), min_size=1, max_size=SIZES["seq_len"]),
    data=st.data(),
)
def test_later_tokens_change_no_earlier_logits(which: str, tokens: list[int], data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(tokens)))
    later = st.lists(st.integers(0, SIZES["vocab_size"] - 1), max_size=SIZES["seq_len"] - kept)
    other = tokens[:kept] + data.draw(later)
    if kept:
        model = SHAKEN[which]
        a, b = (model(torch.tensor([string]))[:, :kept] for string in (tokens, other))
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@every
def test_the_last_logits_depend_on_every_token(which: str) -> None:
    tokens = strings(1).expand(SIZES["seq_len"], -1)
    one_other = (tokens + torch.eye(SIZES["seq_len"], dtype=torch.long)) % SIZES["vocab_size"]
    moved = (SHAKEN[which](one_other) - SHAKEN[which](tokens))[:, -1].abs().amax(-1)
    assert moved.min() > 1e-6, moved


@every
def test_order_matters(which: str) -> None:
    forth = torch.tensor([[0, 1, 2, 3]])
    assert not torch.allclose(SHAKEN[which](forth)[:, -1], SHAKEN[which](forth[:, [1, 0, 2, 3]])[:, -1])


@every
def test_weights_come_from_the_generator_alone(which: str) -> None:
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), fresh(which)
    assert torch.equal(torch.get_rng_state(), state)
    again, other = dict(fresh(which).named_parameters()), dict(fresh(which, seed=1).named_parameters())
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, again[name]), name
        if parameter.dim() > 1:
            assert not torch.equal(parameter, other[name]), name
    assert not dict(first.named_buffers())  # they would not come out of the initialisation


@every
@pytest.mark.parametrize("position", [0, 5, SIZES["seq_len"] - 1])
def test_the_answer_alone_and_its_gradients_are_those_of_the_plain_pass(which: str, position: int) -> None:
    model, tokens = SHAKEN[which], strings()
    plain, alone = model(tokens)[:, position], model.answer_logits(tokens, position)
    torch.testing.assert_close(alone, plain, atol=1e-4, rtol=1e-4)
    parameters = list(model.parameters())
    for found, expected in zip(
        torch.autograd.grad(alone.square().sum(), parameters, materialize_grads=True),
        torch.autograd.grad(plain.square().sum(), parameters, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@every
def test_hooks_see_all_positions_on_the_way_to_an_answer(which: str) -> None:
    model, seen, tokens = shaken(which), list[Any](), strings()
    expected = model.answer_logits(tokens, 5)
    model.blocks[-1].register_forward_hook(lambda _, given, out: seen.append(out.shape[:2]))
    torch.testing.assert_close(model.answer_logits(tokens, 5), expected, atol=1e-4, rtol=1e-4)
    assert seen == [tokens.shape]


@every
def test_the_residual_stream_is_embedding_then_blocks_and_reads_out_to_the_logits(which: str) -> None:
    model, tokens = SHAKEN[which], strings()
    logits, (resid, attn) = model.run_with_cache(tokens, attention=True)
    assert attn is None
    assert resid.shape == (1 + SIZES["n_blocks"], *tokens.shape, SIZES["d_model"])
    torch.testing.assert_close(logits, model(tokens))
    for before, after, block in zip(resid, resid[1:], model.blocks, strict=False):
        torch.testing.assert_close(block(before), after)
        for norm in (block.norm1, block.norm2):
            torch.testing.assert_close(norm(before), model.as_read(before))
    torch.testing.assert_close(model.unembedding(model.norm(resid[-1])), logits)
    torch.testing.assert_close(
        model.norm(resid[-1]), model.as_read(resid[-1]) * model.norm.weight + model.norm.bias, atol=1e-5, rtol=1e-5
    )


@every
def test_attention_maps_are_declined(which: str) -> None:
    with pytest.raises(UsageError, match=f"{ARCHITECTURES[which][0].__name__} has no attention maps"):
        attention_maps(SHAKEN[which], strings())


@every
def test_a_pruned_neuron_says_its_bias_and_no_other_changes(which: str) -> None:
    model = SHAKEN[which]
    neurons = model.neurons()
    assert [*neurons, "unembedding"] == maps(model)
    tokens, rows_differ = strings(), 0
    for name, linear in neurons.items():
        assert linear.bias is not None, f"{name}: edits set biases"
        smaller, said = pruned(model, [(name, 1)]), list[torch.Tensor]()
        changed = smaller(tokens)
        handle = smaller.get_submodule(name).register_forward_hook(lambda _, given, out, said=said: said.append(out))
        torch.testing.assert_close(smaller(tokens), changed)  # hooks change nothing
        handle.remove()
        found = torch.cat([out.flatten(0, -2) for out in said])
        assert (found[:, 1] == linear.bias[1]).all() and found[:, 0].std() > 0, name
        rows_differ += not torch.equal(changed, model(tokens))
    assert rows_differ >= len(neurons) - 2  # a unit of a ReLU may be silent anyway


@every
def test_gradients_reach_every_parameter(which: str) -> None:
    model = shaken(which)
    model(strings()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name


@every
def test_it_learns_to_recall(which: str) -> None:
    task = Recall()
    own = {"kernel": 2} if which == "convolution" else {}
    model = fresh(which, vocab_size=task.vocab_size, seq_len=task.seq_len, d_model=16, **own)
    fit(model, task, TrainConfig(steps=40, batch_size=48, lr=3e-2, seed=0))
    assert accuracy(model, task, sample(task, 256, 1)) > 0.4  # by chance: .2


@every
def test_passes_are_counted_once(which: str) -> None:
    seen: list[torch.Tensor] = []
    token = passes.set(seen.append)
    try:
        SHAKEN[which](strings())
        SHAKEN[which].answer_logits(strings(), 2)
        SHAKEN[which].run_with_cache(strings())
    finally:
        passes.reset(token)
    assert len(seen) == 3


@every
def test_a_string_that_is_too_long_is_refused_with_both_lengths(which: str) -> None:
    for call in (SHAKEN[which], SHAKEN[which].run_with_cache):
        with pytest.raises(UsageError, match=r"10 tokens.* at most 9"):
            call(torch.zeros(1, 10, dtype=torch.long))


@every
def test_half_precision_follows_single(which: str) -> None:
    model, tokens = fresh(which), strings()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(tokens)
    torch.testing.assert_close(logits.float(), model(tokens), atol=0.05, rtol=0.05)


@every
def test_gradients_of_each_string_by_torch_func(which: str) -> None:
    model, tokens = SHAKEN[which], strings(2)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(weights: Any, tokens: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, weights, (tokens[None],)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, tokens)
    model_loss = model(tokens[:1]).square().sum()
    expected = torch.autograd.grad(model_loss, list(model.parameters()))
    for (name, _), gradient in zip(model.named_parameters(), expected, strict=True):
        torch.testing.assert_close(each[name][0], gradient, atol=1e-2, rtol=1e-3, msg=name)


def test_a_model_without_blocks_answers_too() -> None:
    for which in sorted(set(ARCHITECTURES) - {"convolution"}):
        bare = fresh(which, n_blocks=0)
        torch.testing.assert_close(bare.answer_logits(strings(), 3), bare(strings())[:, 3])


class Averages(Mixer):
    """The mean of all tokens so far, of what a linear map reads."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.read = nn.Linear(d_model, d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(x).cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None]


class Averaging(Blocks):
    @staticmethod
    def mixer(config: BlocksConfig, block: int) -> Mixer:
        return Averages(config.d_model)


def test_a_mixer_of_ones_own_needs_its_forward_pass_alone() -> None:
    model, tokens = Averaging.initialised(BlocksConfig(**SIZES), rng()), strings()
    torch.testing.assert_close(model.answer_logits(tokens, 5), model(tokens)[:, 5])
    assert "blocks.1.mixer.read" in model.neurons() and model.run_with_cache(tokens)[1].resid.shape[0] == 3


@every
def test_initialisation_is_the_gpts_outside_the_mixers(which: str) -> None:
    model = fresh(which, vocab_size=60, d_model=64, n_blocks=8)
    for name, parameter in model.named_parameters():
        if ".mixer." in name:
            if name.endswith("weight"):
                assert parameter.std().item() == pytest.approx(parameter.shape[1] ** -0.5, rel=0.1), name
        elif name.endswith("bias") or "norm" in name:
            assert (parameter == (0 if name.endswith("bias") else 1)).all(), name
        else:
            residual = name.endswith((".out.weight", "mlp_out.weight"))
            assert parameter.std().item() == pytest.approx(0.005 if residual else 0.02, rel=0.1), name
    logits = model(torch.randint(60, (4, 9), generator=rng()))
    assert 0.01 < logits.std().item() < 0.5  # sound at the start
