"""The training loop: schedule, losses and updates worked out by hand; repeatable, observable, and divergence a result."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from recall import Recall
from tiny_training import config, tiny
from torch import Tensor, nn

from capbench.errors import UsageError
from capbench.methods.finetuning.frozen_trunk import frozen_trunk
from capbench.methods.finetuning.full import full
from capbench.methods.finetuning.identity import identity
from capbench.models.base import Model
from capbench.tasks.base import IGNORE, Batch
from capbench.training.loop import batches, checkpoint, fit, next_token_loss, observing


class Numbers(Model):
    """A model that is a matrix [2, 1] and a vector [1], so that updates can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.vector = nn.Parameter(torch.ones(2, 1)), nn.Parameter(torch.ones(1))

    def forward(self, tokens: Tensor) -> Tensor:
        raise AssertionError("the tests that use this model have losses that do not call it")


class Fixed(Model):
    """Gives these logits, [batch, pos, vocab], whatever the tokens are."""

    def __init__(self, logits: Any) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits


def changed(before: Model, after: Model) -> set[str]:
    left, right = before.state_dict(), after.state_dict()
    return {name for name in left.keys() | right.keys() if not torch.equal(left[name], right[name])}


# ---- schedule


@pytest.mark.parametrize(
    "step, expected",
    # 10 steps, lr 2: two of warm-up, then cosine from 2 to 0.02 with (1 + cos) / 2 = 1, …, 1/2 at the middle, …
    [(0, 1.0), (1, 2.0), (2, 2.0), (4, 0.02 + 1.98 * (0.5 + 0.5 * math.sqrt(0.5))), (6, 1.01), (10, 0.02)],
)
def test_the_rate_is_the_one_worked_out_by_hand(step: int, expected: float) -> None:
    assert config(steps=10, lr=2.0).lr_at(step) == pytest.approx(expected)


def test_the_schedule_rises_over_a_fifth_and_falls_to_a_hundredth() -> None:
    rates = [config(steps=1000, lr=1.0).lr_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 200) and rates[199] == 1.0
    assert rates[:200] == sorted(rates[:200]) and rates[199:] == sorted(rates[199:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-4)


def test_without_warm_up_and_decay_the_rate_is_constant() -> None:
    assert {config(steps=7, warmup=0.0, final_lr=1.0, lr=0.5).lr_at(step) for step in range(7)} == {0.5}


@pytest.mark.parametrize(
    "wrong, quoted",
    [({"steps": -1}, "-1"), ({"lr": -0.5}, "-0.5"), ({"batch_size": 0}, "0"), ({"optimizer": "lion"}, "'lion'")],
)
def test_an_impossible_training_is_refused_with_the_value(wrong: dict[str, Any], quoted: str) -> None:
    with pytest.raises(UsageError, match=quoted):
        config(**wrong)


# ---- data


@pytest.mark.slow
def test_processes_that_draw_ahead_change_nothing() -> None:
    alone, ahead = (list(batches(Recall(), config(steps=40), workers=workers)) for workers in (0, 2))
    assert len(alone) >= 40
    for one, other in zip(alone, ahead, strict=True):
        assert torch.equal(one.tokens, other.tokens) and torch.equal(one.targets, other.targets)


def test_no_two_draws_are_alike_and_none_touches_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    drawn = [batch.tokens for batch in batches(Recall(), config(steps=48))]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len({tuple(tokens.flatten().tolist()) for tokens in drawn}) == 48
    (other, *_) = batches(Recall(), config(steps=48, seed=1))
    assert not torch.equal(drawn[0], other.tokens)


# ---- losses and updates by hand

QUARTERS = [0.0, math.log(3)]  # probabilities 1/4 and 3/4
HALVES = [0.0, 0.0]


def test_next_token_loss_is_the_mean_of_the_others_plus_the_weighted_answer() -> None:
    model = Fixed([[QUARTERS, QUARTERS, HALVES, QUARTERS], [QUARTERS, HALVES, QUARTERS, HALVES]])
    targets = torch.tensor([[1, 0, 0, IGNORE], [0, IGNORE, 1, IGNORE]])
    loss = next_token_loss(model, Batch(torch.zeros_like(targets), targets), Recall(answer_weight=10.0))
    others = (math.log(4 / 3) + math.log(4) + math.log(4)) / 3  # three targets at positions 0 and 1
    answers = (math.log(2) + math.log(4 / 3)) / 2
    assert loss.item() == pytest.approx(others + 10 * answers)


def test_next_token_loss_of_answers_alone_is_their_mean_without_a_weight() -> None:
    model = Fixed([[HALVES, HALVES, QUARTERS], [HALVES, HALVES, HALVES]])
    targets = torch.tensor([[IGNORE, IGNORE, 0], [IGNORE, IGNORE, 1]])
    loss = next_token_loss(model, Batch(torch.zeros_like(targets), targets), Recall(answer_weight=10.0))
    assert loss.item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_strings_without_an_answer_do_not_count() -> None:
    """A task of one's own may have some; where none has one, its loss is 0 and not a number that ends the training."""
    model = Fixed([[HALVES, HALVES, QUARTERS], [HALVES, HALVES, HALVES]])
    targets = torch.tensor([[IGNORE, IGNORE, 0], [IGNORE, IGNORE, IGNORE]])
    batch = Batch(torch.zeros_like(targets), targets)
    assert next_token_loss(model, batch, Recall()).item() == pytest.approx(math.log(4))
    targets[1, 0] = 1  # another target, in a string without an answer
    assert next_token_loss(model, batch, Recall()).item() == pytest.approx(math.log(2) + math.log(4))
    targets[0, 2] = IGNORE
    assert next_token_loss(model, batch, Recall()).item() == pytest.approx(math.log(2))
    targets[1, 0] = IGNORE
    assert next_token_loss(model, batch, Recall()).item() == 0


class AnswersOnly(Fixed):
    """Gives the answer's logits at the position asked for, and no others. `asked`: these positions."""

    def __init__(self, logits: Any) -> None:
        super().__init__(logits)
        self.asked: list[int] = []

    def forward(self, tokens: Tensor) -> Tensor:
        raise AssertionError("all positions were asked for")

    def answer_logits(self, tokens: Tensor, position: int) -> Tensor:
        self.asked.append(position)
        return self.logits[:, position]


def test_next_token_loss_asks_for_the_answer_alone_where_there_is_no_other_target() -> None:
    logits = [[HALVES, HALVES, QUARTERS], [HALVES, QUARTERS, HALVES]]
    model, plain = AnswersOnly(logits), Fixed(logits)
    targets = torch.tensor([[IGNORE, IGNORE, 0], [IGNORE, IGNORE, 1]])
    batch = Batch(torch.zeros_like(targets), targets)
    loss, expected = (next_token_loss(m, batch, Recall()) for m in (model, plain))
    assert loss.item() == expected.item() == pytest.approx((math.log(4) + math.log(2)) / 2)
    assert model.asked == [2]
    loss.backward()
    expected.backward()
    assert model.logits.grad is not None and torch.equal(model.logits.grad, plain.logits.grad)
    batch.targets[0, 0] = 1  # now there is another target
    with pytest.raises(AssertionError, match="all positions"):
        next_token_loss(model, batch, Recall())


@pytest.mark.parametrize(
    "slope, vector",
    # momentum .9, lr .1: the steps are .1 g and .19 g. A gradient of norm 4 is clipped to 1.
    [(0.5, 1 - 0.05 - 0.095), (4.0, 1 - 0.1 - 0.19)],
)
def test_two_steps_of_sgd_are_those_worked_out_by_hand(slope: float, vector: float) -> None:
    model = Numbers()
    plain = config(steps=2, lr=0.1, optimizer="sgd", warmup=0.0, final_lr=1.0)
    fitted = fit(model, Recall(), plain, loss=lambda m, batch, task: slope * m.vector.sum())
    assert model.vector.item() == pytest.approx(vector)
    assert fitted.grad_norms == pytest.approx([slope, slope])  # before clipping
    assert fitted.losses == pytest.approx([slope, slope * (1 - 0.1 * min(slope, 1))])
    assert fitted.steps == 2 and not fitted.diverged


def test_a_step_of_adamw_moves_by_the_rate_and_decays_matrices_only() -> None:
    model = Numbers()
    plain = config(steps=1, lr=0.1, warmup=0.0, final_lr=1.0, weight_decay=0.5)
    fit(model, Recall(), plain, loss=lambda m, batch, task: 0.1 * m.vector.sum() + 0.2 * m.matrix.sum())
    assert model.vector.item() == pytest.approx(0.9, abs=1e-5)
    assert model.matrix.flatten().tolist() == pytest.approx([1 - 0.1 * 0.5 - 0.1] * 2, abs=1e-5)


def test_the_schedule_is_applied_from_the_first_step() -> None:
    model = Numbers()
    fit(model, Recall(), config(steps=1, lr=0.1, optimizer="sgd", warmup=1.0), loss=lambda m, b, t: m.vector.sum())
    assert model.vector.item() == pytest.approx(0.9)
    model = Numbers()
    slow = config(steps=2, lr=0.1, optimizer="sgd", warmup=1.0, momentum=0.0)
    fit(model, Recall(), slow, loss=lambda m, b, t: m.vector.sum())
    assert model.vector.item() == pytest.approx(1 - 0.05 - 0.1)


# ---- training


def test_fit_learns_a_small_task() -> None:
    fitted = fit(tiny(), Recall(), config(steps=150, batch_size=32))
    assert fitted.losses[0] == pytest.approx(math.log(5), abs=0.2) and fitted.losses[-1] < 0.1
    assert fitted.steps == len(fitted.losses) == len(fitted.grad_norms) == 150


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(optimizer: Any) -> None:
    models, seeds = [tiny(), tiny(), tiny()], (0, 0, 1)
    for model, seed in zip(models, seeds, strict=True):
        fit(model, Recall(), config(optimizer=optimizer, seed=seed))
    assert changed(models[0], models[1]) == set()
    assert changed(models[0], models[2]) == changed(models[0], tiny()) == set(models[0].state_dict())


def test_frozen_parameters_stay_as_they_are() -> None:
    model = tiny()
    model.blocks.requires_grad_(False)
    fit(model, Recall(), config())
    assert changed(model, tiny()) == {n for n in model.state_dict() if not n.startswith("blocks.")}


def test_nothing_to_train_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="requires_grad"):
        fit(tiny().requires_grad_(False), Recall(), config())


def test_no_steps_change_nothing() -> None:
    model = tiny()
    assert fit(model, Recall(), config(steps=0)).steps == 0 and changed(model, tiny()) == set()


@pytest.mark.parametrize(
    "method, trained",
    [(full, set(tiny().state_dict())), (frozen_trunk, {"unembedding.weight"}), (identity, set())],
)
def test_a_method_changes_its_own_parameters_in_a_copy(method: Any, trained: set[str]) -> None:
    given = tiny()
    tuned = method(given, Recall(), config())
    assert tuned is not given and changed(given, tiny()) == set()
    assert changed(tuned, given) == trained
    assert all(p.requires_grad for p in tuned.parameters())


# ---- divergence


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_huge_rate_diverges_without_an_exception(optimizer: Any) -> None:
    fitted = fit(tiny(), Recall(), config(steps=50, lr=1e30, optimizer=optimizer))
    assert fitted.diverged and fitted.steps < 50
    assert not (math.isfinite(fitted.losses[-1]) and math.isfinite(fitted.grad_norms[-1]))


def test_a_loss_that_is_no_number_diverges_and_leaves_the_weights() -> None:
    model = tiny()
    fitted = fit(model, Recall(), config(), loss=lambda m, batch, task: next_token_loss(m, batch, task) * math.nan)
    assert fitted.diverged and fitted.steps == 0 and changed(model, tiny()) == set()


def test_an_infinite_gradient_of_a_finite_loss_diverges() -> None:
    model = Numbers()
    fitted = fit(model, Recall(), config(), loss=lambda m, batch, task: (m.vector - 1).sqrt().sum())
    assert fitted.losses == [0.0] and fitted.diverged and model.vector.item() == 1


# ---- observers


def test_an_observer_sees_every_step_with_the_model_as_it_is_then() -> None:
    model, seen, states = tiny(), [], []
    with observing(lambda step, m: seen.append((step, m is model)) or states.append(copy.deepcopy(m)) or False):
        fit(model, Recall(), config(steps=4))
    assert seen == [(1, True), (2, True), (3, True), (4, True)]
    assert changed(states[0], states[1]) and changed(states[3], model) == set()
    fit(model, Recall(), config(steps=4))
    assert len(seen) == 4  # and nothing after the block


def test_an_observer_ends_the_training_when_it_has_seen_enough() -> None:
    with observing(lambda step, model: step == 3):
        fitted = fit(tiny(), Recall(), config(steps=10))
        assert [checkpoint(step, tiny()) for step in (1, 3)] == [False, True]
    assert fitted.steps == len(fitted.losses) == 3 and not fitted.diverged
    assert checkpoint(3, tiny()) is False


def test_the_results_of_all_trainings_in_the_block_are_collected() -> None:
    fit(tiny(), Recall(), config())  # before the block
    with observing(lambda step, model: step == 3) as fits:
        assert fits == []
        first = fit(tiny(), Recall(), config(steps=2))
        second = fit(tiny(), Recall(), config(steps=9))
        third = fit(tiny(), Recall(), config(), loss=lambda m, b, t: next_token_loss(m, b, t) * math.nan)
        assert fits == [first, second, third]
    fit(tiny(), Recall(), config())  # and after it
    assert [(f.steps, len(f.losses), len(f.grad_norms), f.diverged) for f in fits] == [
        (2, 2, 2, False),
        (3, 3, 3, False),
        (0, 1, 1, True),
    ]


def test_a_training_that_raises_is_collected_as_far_as_it_came() -> None:
    def loss(model: Model, batch: Batch, task: Any) -> Tensor:
        if len(fits[0].losses) == 2:
            raise ZeroDivisionError
        return next_token_loss(model, batch, task)

    with pytest.raises(ZeroDivisionError), observing(lambda step, model: False) as fits:
        fit(tiny(), Recall(), config(), loss=loss)
    assert [(f.steps, len(f.losses)) for f in fits] == [(2, 2)]


def test_trainings_in_an_inner_block_belong_to_it() -> None:
    with observing(lambda step, model: False) as outer:
        with observing(lambda step, model: False) as inner:
            mine = fit(tiny(), Recall(), config(steps=1))
        other = fit(tiny(), Recall(), config(steps=1))
    assert inner == [mine] and outer == [other]


def test_watching_changes_nothing() -> None:
    plain, watched = tiny(), tiny()
    fit(plain, Recall(), config())
    with observing(lambda step, model: False):
        fit(watched, Recall(), config())
    assert changed(plain, watched) == set()


def test_an_observer_within_another_ends_with_its_block() -> None:
    seen: list[str] = []
    with observing(lambda step, model: bool(seen.append("outer"))):
        with pytest.raises(ZeroDivisionError), observing(lambda step, model: bool(seen.append("inner"))):
            checkpoint(1, tiny())
            raise ZeroDivisionError
        checkpoint(1, tiny())
    assert seen == ["inner", "outer"]
