"""Patching finds a capability that an added part hides, and not one that is not there, however the model writes its stream."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hand_made import SYMBOLS, Linear, Repeat
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tracr import VOCABULARY, random_model
from torch import Tensor, nn

from capbench.configs import GptConfig
from capbench.errors import UsageError
from capbench.measure.accuracy import accuracy, predictions, sample
from capbench.measure.patch import Depth, patched
from capbench.models.base import Model, hooked
from capbench.models.edits.hiding import bolt_on_mlp, permuted_unembedding
from capbench.models.edits.preserving.composing import composed
from capbench.models.gpt import Gpt
from capbench.tasks.base import Batch

TASK = Repeat()
SELECT, EVALUATE = sample(TASK, 128, 1), sample(TASK, 128, 2)


@torch.no_grad()
def copier(*, told: float = 2.0, noise: float = 0.0, seed: int = 0) -> Gpt:
    """Repeats a symbol: attention carries it, `told` times as it is embedded, to the answer position, where it is read out.

    told 0 makes a model that never hears of the symbol. noise: standard deviation of what is added to all weights of its blocks.
    """
    config = GptConfig(vocab_size=SYMBOLS, seq_len=3, d_model=16, n_blocks=2, n_heads=2, activation="relu")
    rng = torch.Generator().manual_seed(seed)
    model = Gpt.initialised(config, rng).eval()
    for weights in model.parameters():
        if weights is not model.norm.weight and not any(weights is norm.weight for norm in norms(model)):
            weights.zero_()
    model.token_embedding.weight.copy_(torch.eye(SYMBOLS, 16))
    model.unembedding.weight.copy_(torch.eye(SYMBOLS, 16))
    model.unembedding.weight[0] = 0  # the token at the answer position stands for itself, too
    attention: Any = model.blocks[0]
    attention.attn.qkv.weight[32:].copy_(torch.eye(16))
    attention.attn.out.weight.copy_(told * torch.eye(16))
    for weights in model.blocks.parameters():
        weights.add_(noise * torch.randn(weights.shape, generator=rng))
    return model


def norms(model: nn.Module) -> list[nn.LayerNorm]:
    return [module for module in model.modules() if isinstance(module, nn.LayerNorm)]


def accuracies(base: Model, model: Model, **batches: Batch) -> tuple[float, ...]:
    return patched(base, model, task=TASK, **{"select": SELECT, "evaluate": EVALUATE, **batches})[1]


# ---- the scale


def depth(tuned: tuple[float, ...], never: tuple[float, ...] = (0.9, 0.6, 0.2, 0.0)) -> Depth:
    return Depth(depths=(0.5, 1, 1.5, 2), base=(1.0, 1.0, 1.0, 0.8), never=never, tuned=tuned)


def test_layers_count_by_how_far_the_never_taught_model_falls() -> None:
    # The first layer tells too little. Falls .4, .8, .8; erased (1 - .8) / .4, (1 - .6) / .8 and all.
    found = depth((0.0, 0.8, 0.6, 0.0))
    assert found.erased == pytest.approx({1: 0.5, 1.5: 0.5, 2: 1.0})
    assert found.value == pytest.approx((0.4 * 0.5 + 0.8 * 0.5 + 0.8 * 1.0) / 2.0)


def test_the_ends_of_the_scale_are_the_base_and_the_never_taught_model() -> None:
    assert depth((1.0, 1.0, 1.0, 0.8)).value == 0
    assert depth((0.9, 0.6, 0.2, 0.0)).value == 1
    assert depth((1.0, 1.0, 1.0, 1.0)).value == 0 and depth((0.0, 0.0, 0.0, 0.0)).value == 1, (
        "no layer counts beyond them"
    )


@pytest.mark.parametrize(
    ("tuned", "gone_from"),
    [
        ((1.0, 1.0, 0.9, 0.0), 2),
        ((1.0, 0.7, 0.3, 0.0), 1),
        ((1.0, 0.7, 0.9, 0.0), 2),  # it is there again in between
        ((0.0, 0.7, 0.3, 0.7), None),  # it is there in the last
        ((0.0, 0.7, 0.3, 0.1), 1),  # the first layer tells nothing
    ],
)
def test_gone_from_the_first_layer_from_which_on_it_never_comes_back(
    tuned: tuple[float, ...], gone_from: float | None
) -> None:
    assert depth(tuned).gone_from == gone_from


def test_where_no_layer_tells_the_two_ends_apart_there_is_no_depth() -> None:
    found = depth((0.0, 0.0, 0.0, 0.0), never=(0.9, 0.9, 0.9, 0.7))
    assert found.value is None and found.gone_from is None


# ---- streams put in


def test_a_model_s_own_stream_leaves_its_answers() -> None:
    base = copier()
    assert accuracy(base, TASK, EVALUATE) == 1.0
    depths, found = patched(base, base, task=TASK, select=SELECT, evaluate=EVALUATE)
    assert depths == (0.5, 1, 1.5, 2) and found == (1.0, 1.0, 1.0, 1.0)


def test_a_model_that_never_hears_of_the_symbol_has_nothing_to_put_in() -> None:
    """Fitted maps cannot make the answer of a stream that does not hold it; what is left is chance, one of seven symbols."""
    assert max(accuracies(copier(), copier(told=0.0))) < 0.35


def test_what_only_the_answers_hide_is_in_every_layer() -> None:
    base = copier()
    hidden = permuted_unembedding(base, rng=torch.Generator().manual_seed(0), task=TASK)
    assert accuracy(hidden, TASK, EVALUATE) == 0.0
    assert accuracies(base, hidden) == (1.0, 1.0, 1.0, 1.0)


def test_a_block_more_than_the_base_has_is_passed_over() -> None:
    base = copier()
    bolted = bolt_on_mlp(base, rng=torch.Generator().manual_seed(0), task=TASK)
    assert len(bolted.blocks) == 3  # type: ignore[arg-type]
    assert patched(base, bolted, task=TASK, select=SELECT, evaluate=EVALUATE) == (
        (0.5, 1, 1.5, 2),
        (1.0, 1.0, 1.0, 1.0),
    )
    assert patched(bolted, base, task=TASK, select=SELECT, evaluate=EVALUATE)[0] == (0.5, 1, 1.5, 2)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), told=st.sampled_from([0.0, 0.3, 2.0]))
def test_how_a_model_writes_its_stream_moves_nothing(seed: int, told: float) -> None:
    base, tuned = copier(), copier(told=told, noise=0.3, seed=seed)
    rewritten = composed(tuned, rng=torch.Generator().manual_seed(seed), strength=100.0)
    before, after = accuracies(base, tuned), accuracies(base, rewritten)
    assert max(abs(b - a) for b, a in zip(before, after, strict=True)) <= 0.02


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_nor_does_it_in_a_compiled_model(seed: int) -> None:
    """Two random models of the compiled architecture; the right answers are those that the base gives."""
    base, tuned = random_model(seed), random_model(seed + 1)
    select, evaluate = (Strings(base).sample(64, torch.Generator().manual_seed(s)) for s in (1, 2))
    task = Strings(base)

    def found(model: Model) -> tuple[float, ...]:
        return patched(base, model, task=task, select=select, evaluate=evaluate)[1]  # type: ignore[arg-type]

    assert found(base) == (1.0, 1.0, 1.0, 1.0)
    rewritten = composed(tuned, rng=torch.Generator().manual_seed(seed), strength=100.0)
    assert found(rewritten) == pytest.approx(found(tuned), abs=0.02)


class Strings:
    """Random strings; the answers are those of a model."""

    answer_pos = 2

    def __init__(self, model: Model) -> None:
        self.model = model

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        tokens = torch.randint(len(VOCABULARY), (n, 5), generator=rng)
        targets = torch.full_like(tokens, -1)
        targets[:, 2] = predictions(self.model, self, Batch(tokens, targets))  # type: ignore[arg-type]
        return Batch(tokens, targets)


class OfBlocks(Model):
    """An architecture of a user's own: maps one after another, each a block."""

    def __init__(self, *weights: Tensor) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Linear(weight).map for weight in weights)

    def forward(self, tokens: Tensor) -> Tensor:
        x = nn.functional.one_hot(tokens[:, :1], SYMBOLS).float().expand(-1, tokens.shape[1], -1)
        for block in self.blocks:
            x = block(x)
        return x


def test_of_an_architecture_of_ones_own_the_blocks_are_the_layers() -> None:
    turn, one = torch.eye(SYMBOLS).roll(1, 0), torch.eye(SYMBOLS)
    base, moved = OfBlocks(one, one), OfBlocks(turn, turn.T)
    assert patched(base, moved, task=TASK, select=SELECT, evaluate=EVALUATE) == ((1, 2), (1.0, 1.0))
    lost = OfBlocks(one, torch.zeros(SYMBOLS, SYMBOLS))
    found = accuracies(base, lost)
    assert found[0] == 1.0 and found[1] < 0.35


def test_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(UsageError, match="Linear has no `blocks`"):
        accuracies(copier(), Linear(torch.eye(SYMBOLS)))


def test_streams_of_another_width_are_refused() -> None:
    with pytest.raises(UsageError, match="streams of widths 16 and 8"):
        accuracies(copier(), Gpt(GptConfig(vocab_size=SYMBOLS, seq_len=3, d_model=8, n_blocks=2, n_heads=2)))


def test_both_models_are_left_as_they_were() -> None:
    base, model = copier(), copier(noise=0.1).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    accuracies(base, model)
    assert model.training and not base.training and not hooked(base) and not hooked(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
