"""A relabelling of outputs gives back what is hidden behind one, and no more than a constant where nothing is."""

from __future__ import annotations

import pytest
import torch
from hand_made import SYMBOLS, Knows, Linear, Repeat
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from capbench.measure.accuracy import sample
from capbench.measure.relabelling import Relabelled, Relabelling, relabelled
from capbench.models.base import Model

N = 6
tokens = st.integers(0, N - 1)
samples = st.lists(st.tuples(tokens, tokens), min_size=1, max_size=40).map(
    lambda pairs: tuple(torch.tensor(column) for column in zip(*pairs, strict=True))
)


def read(model: Model) -> Relabelled:
    task = Repeat()
    return relabelled(model, task, select=sample(task, 400, 1), evaluate=sample(task, 400, 2))


def test_each_answer_stands_for_the_right_one_that_it_most_often_goes_with() -> None:
    given_ = torch.tensor([4, 4, 4, 2, 2, 1])
    right = torch.tensor([0, 0, 3, 3, 1, 3])
    found = Relabelling.fitted(given_, right, N)
    # 4 goes with 0 twice; 2 with 1 and 3 once each, so the smaller; 1 with 3. 0, 3 and 5 were never given: 3 is the commonest.
    assert found.table.tolist() == [3, 3, 1, 3, 0, 3]
    assert found.commonest == 3
    assert found.accuracy(given_, right) == pytest.approx(4 / 6)
    assert found.of_the_commonest(right) == pytest.approx(3 / 6)


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_a_capability_behind_a_permutation_comes_back_whole(shift: int) -> None:
    moved = read(Linear(torch.eye(SYMBOLS).roll(shift, 0)))
    assert moved.accuracy == 1.0 and moved.constant < 0.25


def test_a_model_with_one_answer_gives_no_more_than_the_commonest() -> None:
    found = read(Knows(set()))
    assert found.accuracy == found.constant < 0.25


def test_what_was_merged_does_not_come_back() -> None:
    found = read(Knows({1, 2, 3}))  # answers 0 to four of seven symbols, one of which the relabelling may name
    assert found.accuracy == pytest.approx(4 / 7, abs=0.06)


@given(samples)
def test_on_its_own_sample_it_is_at_least_the_plain_accuracy_and_the_commonest(pairs: tuple[Tensor, Tensor]) -> None:
    given_, right = pairs
    found = Relabelling.fitted(given_, right, N)
    plain = float((given_ == right).float().mean())
    assert found.accuracy(given_, right) >= max(plain, found.of_the_commonest(right))


@given(samples, st.permutations(range(N)))
def test_another_name_for_every_answer_changes_nothing(pairs: tuple[Tensor, Tensor], names: list[int]) -> None:
    given_, right = pairs
    other = torch.tensor(names)[given_]
    assert Relabelling.fitted(given_, right, N).accuracy(given_, right) == Relabelling.fitted(other, right, N).accuracy(
        other, right
    )
