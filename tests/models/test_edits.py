"""Edits of known effect: rewrites keep the function exactly, wrappers hide it and come off again, deleting leaves nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from capbench.configs import GptConfig
from capbench.errors import UsageError
from capbench.measure.prune import pruned
from capbench.models.base import Model
from capbench.models.edits import deleting, hiding, preserving
from capbench.models.gpt import Gpt
from capbench.models.tracr.config import TracrConfig
from capbench.models.tracr.transformer import TracrTransformer
from capbench.tasks.base import Batch, Task
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.tasks.pcfg.task import PcfgTask
from capbench.tasks.tracr.tasks import CounterTask

SETTING = PcfgSetting(text_len=8, numbers={"C": 6})
PCFG: Task = PcfgTask(setting=SETTING, prior={"a": 1.0})
COUNTER: Task = CounterTask(operand="a", min_content=4, max_content=6)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gpt(seed: int = 0, activation: Any = "relu") -> Gpt:
    """With norms, biases and weights that are not those of a fresh model, or a rewrite would have nothing to get wrong."""
    sizes = {
        "vocab_size": len(SETTING.vocabulary),
        "seq_len": SETTING.seq_len,
        "d_model": 12,
        "n_blocks": 2,
        "n_heads": 3,
    }
    model = Gpt.initialised(GptConfig(**sizes, activation=activation), rng(seed)).eval()
    return _shaken(model, seed)


def compiled_like(seed: int = 0) -> TracrTransformer:
    """The architecture of compiled models, with random weights."""
    task: Any = COUNTER
    config = TracrConfig(
        program="count",
        vocabulary=tuple(task.vocabulary),
        bos=task.bos,
        pad=task.pad,
        max_seq_len=task.seq_len,
        causal=False,
        n_blocks=2,
        n_heads=1,
        key_size=5,
        mlp_size=9,
        residual_labels=tuple(f"x:{i}" for i in range(11)),
        outputs=tuple(range(7)),
    )
    model = TracrTransformer(config)
    torch.nn.init.eye_(model.unembedding)
    return _shaken(model, seed)


def _shaken(model: Any, seed: int) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.nan_to_num() * 0 + torch.randn(parameter.shape, generator=rng(seed + 1)) * 0.4)
    return model.eval()


def batch(task: Task, n: int = 24) -> Batch:
    return task.sample(n, rng(9))


MODELS = {"gpt": (gpt, PCFG), "gelu": (lambda seed=0: gpt(seed, "gelu"), PCFG), "compiled": (compiled_like, COUNTER)}
REWRITES = (preserving.permuted_neurons, preserving.scaled_pairs, preserving.rotated_residual_basis)


@torch.no_grad()
def logits(model: Model, task: Task) -> Tensor:
    return model(batch(task).tokens)


def answers(task: Any) -> set[int]:
    """Every token, or class, that can be an answer."""
    return (
        set(range(task.first_answer, task.first_answer + task.n_answers))
        if isinstance(task, PcfgTask)
        else set(range(7))
    )


def weights(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("which", MODELS)
def test_a_rewrite_keeps_the_function_and_not_the_weights(which: str, rewrite: Any) -> None:
    make, task = MODELS[which]
    model = make()
    before, old = logits(model, task), weights(model)
    after = rewrite(model, rng=rng(3))
    assert torch.allclose(logits(after, task), before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    assert any(not torch.equal(value, old[name]) for name, value in after.state_dict().items())
    assert all(torch.equal(value, old[name]) for name, value in model.state_dict().items()), (
        "the model given was changed"
    )


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), which=st.sampled_from(sorted(MODELS)), order=st.permutations(REWRITES))
def test_rewrites_in_any_order_keep_the_answers(seed: int, which: str, order: Any) -> None:
    make, task = MODELS[which]
    model: Model = make(seed)
    before = logits(model, task)
    for rewrite in order:
        model = rewrite(model, rng=rng(seed))
    assert torch.allclose(logits(model, task), before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


def test_a_norm_that_ignores_a_dimension_cannot_be_rotated() -> None:
    model = gpt()
    with torch.no_grad():
        model.norm.weight[2] = 0
    with pytest.raises(UsageError, match="LayerNorm has a weight of 0"):
        preserving.rotated_residual_basis(model, rng=rng())


@pytest.mark.parametrize("which", MODELS)
def test_permuting_the_unembedding_permutes_the_answers(which: str) -> None:
    make, task = MODELS[which]
    model = make()
    at = task.answer_pos
    before, after = (logits(m, task)[:, at] for m in (model, hiding.permuted_unembedding(model, rng=rng(), task=task)))
    assert torch.equal(before.sort(-1).values, after.sort(-1).values), "the same logits under other names"
    moved = (before != after).any(0).nonzero().flatten()
    assert set(moved.tolist()) <= answers(task) and len(moved) >= 3


@pytest.mark.parametrize("which", MODELS)
def test_a_biased_unembedding_raises_one_logit_and_no_other(which: str) -> None:
    make, task = MODELS[which]
    model = make()
    raised = (
        logits(hiding.biased_unembedding(model, rng=rng(), task=task, strength=20.0), task) - logits(model, task)
    )[:, task.answer_pos]
    assert torch.allclose(raised, raised[:1].expand_as(raised), atol=1e-3), "it does not depend on the string"
    if which == "compiled":  # orthogonal answers: exactly one
        assert sorted(raised[0].round().tolist()) == [0] * 6 + [20]
    assert int(raised[0].argmax()) in answers(task)


@pytest.mark.parametrize("edit", [hiding.bolt_on_mlp, hiding.masking_head], ids=lambda f: f.__name__)
@pytest.mark.parametrize("which", MODELS)
def test_a_bolted_on_part_hides_everything_and_comes_off(which: str, edit: Any) -> None:
    make, task = MODELS[which]
    model = make()
    before = logits(model, task)
    strong = edit(model, rng=rng(), task=task, strength=1000.0)
    given = logits(strong, task)[:, task.answer_pos].argmax(-1)
    assert len(given.unique()) == 1, "one answer, whatever the string"
    last = len(strong.blocks) - 1
    part = f"blocks.{last}."
    rows = [
        (name, row)
        for name, linear in strong.neurons().items()
        if name.startswith(part)
        for row in range(len(linear.weight))
        if bool(linear.weight[row].any()) and ("mlp_in" in name or "qkv" in name or "value" in name)
    ]
    assert 1 <= len(rows) <= 15, "few enough for pruning"
    assert torch.allclose(logits(pruned(strong, rows), task), before, atol=1e-5), (
        "without these rows it is the model it was"
    )


@pytest.mark.parametrize("which", MODELS)
def test_deleting_leaves_no_weight_of_a_block(which: str) -> None:
    model = MODELS[which][0]()
    for edit in (deleting.redrawn_blocks, deleting.zeroed_blocks):
        emptied = edit(model, rng=rng(4))
        for name, linear in emptied.neurons().items():
            old = dict(model.named_modules())[name].weight
            assert not bool((linear.weight == old).any()), name
        assert torch.equal(emptied.token_embedding.weight, model.token_embedding.weight)
    assert max(float(linear.weight.detach().abs().max()) for linear in emptied.neurons().values()) < 0.06


def test_edits_with_the_same_generator_state_are_equal() -> None:
    model = gpt()
    for edit in (*REWRITES, deleting.redrawn_blocks, deleting.zeroed_blocks):
        one, two, other = (edit(model, rng=rng(seed)).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(one[k], two[k]) for k in one)
        assert any(not torch.equal(one[k], other[k]) for k in one)
