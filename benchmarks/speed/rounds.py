"""Rivals measured round by round within one run: machines are noisy, so ratios are taken within every round.

A round times each of them once, one after another. The figure is the median over the rounds, with quartiles.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Work = Callable[[], object]
OWN = "own"


def compared(benchmark: Any, work: Work, rivals: Mapping[str, Work], *, rounds: int) -> dict[str, list[float]]:
    """Time `work` as the benchmark, and before each of its rounds the rivals, which are no part of its time.

    Gives the seconds of the rounds by name, those of `work` as OWN; where benchmarks are disabled all are run once, and there is
    one round. All are called once beforehand.
    """
    found: dict[str, list[float]] = {name: [] for name in rivals}

    def before() -> None:
        for name, rival in rivals.items():
            found[name].append(seconds(rival))

    for each in (work, *rivals.values()):
        each()
    benchmark.pedantic(work, setup=before, rounds=rounds)
    own = list(benchmark.stats.stats.data) if benchmark.stats is not None else [seconds(work)]
    return {OWN: own, **found}


def interleaved(works: Mapping[str, Work], *, rounds: int) -> dict[str, list[float]]:
    """The same without pytest: the seconds of the rounds by name. All are called once beforehand."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(seconds(work))
    return found


def seconds(work: Work) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratios(of: Sequence[float], to: Sequence[float], scale: float = 1.0) -> list[float]:
    """Round by round, times `scale`."""
    return [scale * a / b for a, b in zip(of, to, strict=True)]


def scaled(values: Sequence[float], scale: float) -> list[float]:
    return [value * scale for value in values]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, statistics.median(values), high
