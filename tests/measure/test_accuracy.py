"""Accuracy is the share of right answers at the answer position, however many strings there are, and changes nothing."""

from __future__ import annotations

import pytest
import torch
from hand_made import SYMBOLS, Knows, Repeat

from capbench.errors import NoAnswerError
from capbench.measure.accuracy import accuracy, predictions, sample
from capbench.models.base import Model

EVERY = set(range(SYMBOLS))


@pytest.mark.parametrize(
    ("known", "symbols", "share"),
    [
        (EVERY, [1, 2, 3, 7], 1.0),
        (set(), [1, 2, 3, 7], 0.0),
        ({1}, [1, 2, 3, 7], 0.25),
        ({1, 2}, [1, 1, 1, 2, 3], 0.8),
        ({5}, [5], 1.0),
    ],
)
def test_accuracy_is_the_share_of_right_answers(known: set[int], symbols: list[int], share: float) -> None:
    assert accuracy(Knows(known), Repeat(), Repeat().batch(symbols)) == pytest.approx(share, abs=1e-7)


def test_a_model_that_always_says_the_same_is_right_where_that_is_the_answer() -> None:
    constant = Knows(set())  # always 0
    assert accuracy(constant, Repeat(always=0), Repeat(always=0).batch([1, 2, 3])) == 1.0
    assert accuracy(constant, Repeat(always=4), Repeat(always=4).batch([1, 2, 3])) == 0.0


def test_predictions_are_the_answers_in_the_order_of_the_strings() -> None:
    assert predictions(Knows({2, 3}), Repeat(), Repeat().batch([3, 1, 2, 2])).tolist() == [3, 0, 2, 2]


def test_only_the_answer_position_is_looked_at() -> None:
    class Elsewhere(Knows):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            logits = super().forward(tokens).clone()
            logits[:, [0, 2]] = -logits[:, [0, 2]]
            return logits

    batch = Repeat().batch([1, 2, 3])
    assert accuracy(Elsewhere(EVERY), Repeat(), batch) == 1.0
    batch.targets[:, 2] = 7  # another target, which is no answer
    assert accuracy(Elsewhere(EVERY), Repeat(), batch) == 1.0


def test_a_model_that_gives_its_answer_without_the_rest_is_asked_for_it_alone() -> None:
    class Fast(Knows):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            raise AssertionError("all positions were asked for")

        def answer_logits(self, tokens: torch.Tensor, position: int) -> torch.Tensor:
            assert position == Repeat().answer_pos
            return super().forward(tokens)[:, position]

    batch = Repeat().batch([1, 2, 3, 4])
    assert accuracy(Fast({1, 2, 3}), Repeat(), batch) == 0.75
    assert predictions(Fast({1, 2, 3}), Repeat(), batch).tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("n", [1, 511, 512, 513, 1300])
def test_strings_are_asked_in_parts_and_none_is_lost(n: int) -> None:
    symbols = [1 + i % 7 for i in range(n)]
    model = Knows({1, 2, 3})
    assert predictions(model, Repeat(), Repeat().batch(symbols)).tolist() == [s if s < 4 else 0 for s in symbols]
    assert sum(model.seen) == n
    assert max(model.seen) <= 512


@pytest.mark.parametrize("training", [True, False])
def test_the_model_answers_in_evaluation_mode_and_keeps_its_own(training: bool) -> None:
    model = Knows(EVERY).train(training)
    accuracy(model, Repeat(), Repeat().batch([1, 2]))
    assert model.modes == [False]
    assert model.training is training


def test_no_gradients_are_kept() -> None:
    class Weighted(Knows):
        def __init__(self) -> None:
            super().__init__(EVERY)
            self.scale = torch.nn.Parameter(torch.ones(()))
            self.grads: list[bool] = []

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            logits = super().forward(tokens) * self.scale
            self.grads.append(logits.requires_grad)
            return logits

    model = Weighted()
    accuracy(model, Repeat(), Repeat().batch([1]))
    predictions(model, Repeat(), Repeat().batch([1]))
    assert model.grads == [False, False]


def test_a_sample_is_set_by_its_seed_alone() -> None:
    first, again, other = (sample(Repeat(), 50, seed).tokens for seed in (1, 1, 2))
    torch.manual_seed(5)
    assert first.equal(again)
    assert first.equal(sample(Repeat(), 50, 1).tokens)
    assert not first.equal(other)
    assert len(first) == 50


@pytest.mark.parametrize("wrong", [1, 3])
def test_logits_that_are_nan_are_no_answers(wrong: int) -> None:
    class Overflown(Model):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(*tokens.shape, 5)
            logits[:wrong, :, 2] = torch.nan
            logits[wrong:] = torch.inf  # the first of several infinite ones is an answer
            return logits

    with pytest.raises(NoAnswerError, match=f"its answers are NaN on {wrong} of 4 strings"):
        accuracy(Overflown(), Repeat(), Repeat().batch([1, 2, 3, 4]))
