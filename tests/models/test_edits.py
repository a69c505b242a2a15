"""Edits of known effect: wrappers hide the function and come off again, deleting leaves nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from shaken import MODELS, gpt, logits, rng

from capbench.errors import UsageError
from capbench.measure.prune import pruned
from capbench.models.edits import deleting, hiding
from capbench.tasks.pcfg.task import PcfgTask


def answers(task: Any) -> set[int]:
    """Every token, or class, that can be an answer."""
    return (
        set(range(task.first_answer, task.first_answer + task.n_answers))
        if isinstance(task, PcfgTask)
        else set(range(7))
    )


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


HEADS = ("gpt", "gelu", "compiled")


@pytest.mark.parametrize("which", sorted(set(MODELS) - set(HEADS)))
def test_a_model_without_attention_has_no_masking_head(which: str) -> None:
    make, task = MODELS[which]
    with pytest.raises(UsageError, match="has no attention, so no head can mask an answer"):
        hiding.masking_head(make(), rng=rng(), task=task)


@pytest.mark.parametrize(
    "edit, which",
    [*((hiding.bolt_on_mlp, which) for which in MODELS), *((hiding.masking_head, which) for which in HEADS)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_bolted_on_part_hides_everything_and_comes_off(edit: Any, which: str) -> None:
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
    for edit in (deleting.redrawn_blocks, deleting.zeroed_blocks):
        one, two, other = (edit(model, rng=rng(seed)).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(one[k], two[k]) for k in one)
        assert any(not torch.equal(one[k], other[k]) for k in one)
