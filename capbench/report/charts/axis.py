"""Axes: where a value lies on a line of so many pixels, and which values are marked."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

TICKS = 5  # about so many values are marked on a linear axis
CROWDED = 0.25  # the median below this share of the largest value: points crowd near zero, as 0, 1, 2, 5, 10, 20 do


@dataclass(frozen=True, kw_only=True)
class Axis:
    """From low to high. least: on a log axis, the smallest positive value: below it the axis is linear, so that it has a zero."""

    low: float
    high: float
    least: float | None = None

    def at(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(value) - low) / (high - low)

    def ticks(self) -> list[float]:
        """The values to mark, within the axis: round ones, or zero and powers of ten."""
        if self.least is not None:
            first, last = math.floor(math.log10(self.least)), math.ceil(math.log10(self.high))
            every = 1 if last - first <= TICKS else 2
            powers = [
                10.0**n for n in range(last, first - 1, -every) if self.least / 1.001 <= 10.0**n <= self.high * 1.001
            ]
            zero = [0.0] if self.low <= 0 and (not powers or self.at(powers[-1]) > 0.08) else []
            return zero + powers[::-1]
        step = _round_step((self.high - self.low) / TICKS)
        first = math.ceil(self.low / step - 1e-9)
        found = [n * step for n in range(first, first + 3 * TICKS) if n * step <= self.high + 1e-9 * step]
        return [round(value, 12) for value in found]

    def _scaled(self, value: float) -> float:
        return value if self.least is None else math.copysign(math.log10(1 + abs(value) / self.least), value)


def steps_axis(xs: Sequence[float], *, log: bool = False) -> Axis:
    """An axis for what was done: from the first to the last value. log: where points crowd near zero, or if asked for."""
    low, high = min(xs), max(xs)
    if low == high:
        return Axis(low=low - 0.5, high=high + 0.5)
    positive = [x for x in xs if x > 0]
    wide = low >= 0 and len(positive) > 2 and high > 3 * min(positive)
    crowded = len(set(xs)) >= 5 and statistics.median(set(xs)) < CROWDED * high
    return Axis(low=low, high=high, least=min(positive) if wide and (log or crowded) else None)


def values_axis(ys: Sequence[float], label: str, marked: Sequence[float] = ()) -> Axis:
    """An axis for what was measured: 0 to 1 for accuracies; else from zero, or the lowest value, to the highest."""
    if not ys:
        return Axis(low=0.0, high=1.0)
    if "accuracy" in label.lower() and all(0 <= y <= 1 for y in ys):
        return Axis(low=0.0, high=1.0)
    low, high = min(0.0, *ys, *marked), max(*ys, *marked, 0.0)
    room = 0.04 * (high - low) or 1.0
    return Axis(low=low - (room if low < 0 else 0), high=high + room)


def like_lengths(ends: Sequence[float], factor: float = 2.5) -> list[int]:
    """The group of each length: sorted by size, a new group begins where one is more than so many times the group's first."""
    order = sorted(range(len(ends)), key=lambda i: ends[i])
    groups, first, group = [0] * len(ends), None, -1
    for i in order:
        if first is None or ends[i] > factor * first:
            first, group = ends[i], group + 1
        groups[i] = group
    return groups


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= rough * 0.999)
