"""Rivals measured round by round within one run: machines are noisy, so the ratio is taken in every round.

A round times each of them once, one after the other. What is told is the median of the rounds' ratios and their quartiles.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Work = Callable[[], object]


class Rivals:
    """What a benchmark is compared with. `time` is run before each of its rounds and is not part of its own time."""

    def __init__(self, rivals: Mapping[str, Work]) -> None:
        self._rivals = rivals
        self.seconds: dict[str, list[float]] = {name: [] for name in rivals}

    def time(self) -> None:
        """One round of every rival."""
        for name, work in self._rivals.items():
            self.seconds[name].append(seconds(work))


def compared(benchmark: Any, work: Work, rivals: Mapping[str, Work], *, rounds: int, per_call: float = 1.0) -> list[float]:
    """Time `work` as the benchmark, and its rivals beside it: into extra_info["times"] goes how many times their time is its.

    per_call: what a call does, in whatever unit the figure is told (steps, strings), kept as extra_info["per_call"]. Both sides
    are run once before the first round. Gives the seconds of the rounds (none where benchmarks are disabled).
    """
    beside = Rivals(rivals)
    work()
    for rival in rivals.values():
        rival()
    benchmark.pedantic(work, setup=beside.time, rounds=rounds)
    benchmark.extra_info["per_call"] = per_call
    if benchmark.stats is None:
        return []
    own = list(benchmark.stats.stats.data)
    benchmark.extra_info["times"] = {name: spread(ratios(theirs, own)) for name, theirs in beside.seconds.items()}
    benchmark.extra_info["seconds"] = {name: statistics.median(theirs) for name, theirs in beside.seconds.items()}
    return own


def seconds(work: Work) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(of, to, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles, and how many values there were."""
    if len(values) == 1:
        return {"median": values[0], "low": values[0], "high": values[0], "n": 1}
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "low": low, "high": high, "n": len(values)}
