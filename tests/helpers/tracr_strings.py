"""The two Tracr tasks at the sizes that their tests use, with or without a correlation, and what their strings hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from capbench.tasks.base import Batch
from capbench.tasks.correlation import Correlation
from capbench.tasks.tracr.tasks import CounterTask, MaxTask

COUNTER = CounterTask(min_content=10, max_content=16)
MAX = MaxTask(rank=5, min_content=8, max_content=14)
TASKS = {"counter": COUNTER, "max": MAX}
SPLITS = ("train", "select", "evaluate")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counter(rate: float | None, **changes: Any) -> CounterTask:
    q = changes.pop("q", 1)
    correlation = None if rate is None else Correlation(o_pt="a", o_ft="b", rate=rate, q=q)
    return replace(COUNTER, **{"operand": "b", "correlation": correlation, **changes})


def largest(rate: float | None, **changes: Any) -> MaxTask:
    """Asks for the 7th letter, which is q after the 5th where the correlation is."""
    q = changes.pop("q", 3)
    correlation = None if rate is None else Correlation(o_pt=5, o_ft=7, rate=rate, q=q)
    return replace(MAX, **{"rank": 7, "correlation": correlation, **changes})


def contents(task: Any, n: int, seed: int = 0) -> list[list[str]]:
    """The letters of n strings."""
    return [task.decode(row) for row in task.sample(n, rng(seed)).tokens.tolist()]


def answers(task: Any, batch: Batch) -> list[Any]:
    return [task.answers[i] for i in batch.targets[:, task.answer_pos].tolist()]


def difference(task: Any, letters: list[str]) -> int:
    """The answer for o_ft less that for o_pt, of the letters themselves."""
    if isinstance(task, CounterTask):
        return letters.count("b") - letters.count("a")
    ordered = sorted(letters)
    return ord(ordered[7 - 1]) - ord(ordered[5 - 1])
