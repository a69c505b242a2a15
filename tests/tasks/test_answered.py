"""Other answers than a task's own: the strings stay, and the answer is changed where it is predicted and where it stands."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tiny_study import SETTING

from capbench.errors import UsageError
from capbench.tasks.answered import Answered
from capbench.tasks.base import Task
from capbench.tasks.pcfg.task import PcfgTask

COUNT = PcfgTask(setting=SETTING, prior={"b": 1.0}, family="C")


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(seed=st.integers(0, 2**20), n=st.integers(1, 40))
@examples(max_examples=30)
def test_random_answers_are_those_of_the_batch_and_nothing_else_changes(seed: int, n: int) -> None:
    task = Answered(task=COUNT)
    own, found = COUNT.sample(n, rng(seed)), task.sample(n, rng(seed))
    at = task.answer_pos
    assert sorted(found.targets[:, at].tolist()) == sorted(own.targets[:, at].tolist())
    assert torch.equal(found.tokens[:, at + 1], found.targets[:, at])  # it stands where it was read
    kept = [i for i in range(own.tokens.shape[1]) if i != at + 1]
    assert torch.equal(found.tokens[:, kept], own.tokens[:, kept])
    assert torch.equal(task.sample(n, rng(seed)).tokens, found.tokens)


def test_random_answers_say_nothing_of_the_text() -> None:
    own, found = COUNT.sample(2000, rng(0)), Answered(task=COUNT).sample(2000, rng(0))
    at = COUNT.answer_pos
    agree = float((own.targets[:, at] == found.targets[:, at]).float().mean())
    _, counts = own.targets[:, at].unique(return_counts=True)
    by_chance = float((counts / 2000).square().sum())
    assert abs(agree - by_chance) < 0.05


@given(seed=st.integers(0, 2**20), n=st.integers(1, 20))
@examples(max_examples=15)
def test_a_constant_answer_is_the_same_in_every_batch(seed: int, n: int) -> None:
    task = Answered(task=COUNT, constant=COUNT.first_answer + 1)
    found = task.sample(n, rng(seed))
    assert (found.targets[:, task.answer_pos] == COUNT.first_answer + 1).all()
    assert (found.tokens[:, task.answer_pos + 1] == COUNT.first_answer + 1).all()


def test_it_is_a_task_of_the_same_form() -> None:
    task = Answered(task=COUNT)
    assert isinstance(task, Task) and task.name == f"random answers to {COUNT.name}"
    for part in ("vocab_size", "seq_len", "answer_pos", "answer_weight"):
        assert getattr(task, part) == getattr(COUNT, part)


def test_a_constant_that_is_no_token_is_one_line() -> None:
    with pytest.raises(UsageError, match="constant 99999 must be a token, 0 to"):
        Answered(task=COUNT, constant=99999)
