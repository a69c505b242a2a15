"""A task of a few known strings: always the same ones, whatever is drawn."""

from __future__ import annotations

import pytest
import torch
from tiny import study

from capbench.errors import UsageError
from capbench.tasks.base import Task
from capbench.tasks.few import Few

TASK = study().evaluation("a", c_te=None, split="train")


def drawn(task: Task, seed: int, n: int = 200) -> set[tuple[int, ...]]:
    tokens, targets = task.sample(n, torch.Generator().manual_seed(seed))
    return {tuple(row) for row in torch.cat([tokens, targets], 1).tolist()}


def test_whatever_is_drawn_comes_from_the_same_few_strings_with_their_answers() -> None:
    few = Few(task=TASK, n=8, seed=3)
    assert isinstance(few, Task) and few.name == f"8 of {TASK.name}"
    assert (few.vocab_size, few.seq_len, few.answer_pos) == (TASK.vocab_size, TASK.seq_len, TASK.answer_pos)
    assert few.answer_weight == TASK.answer_weight
    known = drawn(few, 0) | drawn(few, 1)
    assert known == drawn(TASK, 3, 8) and len(drawn(TASK, 0)) > 8
    assert drawn(Few(task=TASK, n=8, seed=4), 0) != known
    batches = [few.sample(20, torch.Generator().manual_seed(seed)).tokens for seed in (0, 1)]
    assert not batches[0].equal(batches[1])


def test_no_string_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^0 strings of .*: at least 1"):
        Few(task=TASK, n=0, seed=0)
