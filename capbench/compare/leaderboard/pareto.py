"""Which methods no other one beats in two respects at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Name = TypeVar("Name")
Pair = tuple[float, float]


def front(points: Mapping[Name, Pair], better: tuple[int, int]) -> list[Name]:
    """Those that no other is at least as good as in both respects and better than in one; from left to right.

    better: for each respect 1 if more is better, -1 if less is.
    """
    good = {name: (better[0] * x, better[1] * y) for name, (x, y) in points.items()}
    kept = [name for name, mine in good.items() if not any(_beats(other, mine) for other in good.values())]
    return sorted(kept, key=lambda name: points[name])


def _beats(one: Pair, other: Pair) -> bool:
    return one[0] >= other[0] and one[1] >= other[1] and one != other
