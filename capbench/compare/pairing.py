"""What in one run belongs to what in the other: rows by name, numbers by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from statistics import fmean
from typing import TypeVar

T = TypeVar("T")
TOLERANCE = 1e-9  # differences up to this share of the values (of at least 1) are rounding


def paired(
    a: Iterable[T], b: Iterable[T], *, key: Callable[[T], tuple[str, ...]], order: Callable[[T], str]
) -> list[tuple[T | None, T | None]]:
    """Items of equal key, sorted by key; None where one side has none.

    Where a key occurs several times in a run, its items are sorted by `order`, so that their order in a
    file does not matter.
    """
    left, right = _numbered(a, key, order), _numbered(b, key, order)
    return [(left.get(name), right.get(name)) for name in sorted({**left, **right})]


def differences(a: Mapping[int, float | None], b: Mapping[int, float | None]) -> dict[int, float]:
    """b - a by seed, for the seeds on which both have a value; 0 where they differ by rounding only."""
    found = {}
    for seed in sorted(a.keys() & b.keys()):
        difference = subtracted(b[seed], a[seed])
        if difference is not None:
            found[seed] = difference
    return found


def subtracted(b: float | None, a: float | None) -> float | None:
    """b - a; None where either is missing or the difference is too large for a float; 0 for rounding."""
    if a is None or b is None or not math.isfinite(b - a):
        return None
    return 0.0 if abs(b - a) <= TOLERANCE * max(1.0, abs(a), abs(b)) else b - a


def mean(values: Iterable[float]) -> float | None:
    """None for no values, and where their sum is too large for a float."""
    known = list(values)
    try:
        found = fmean(known) if known else None
    except OverflowError:
        return None
    return found if found is not None and math.isfinite(found) else None


def _numbered(
    items: Iterable[T], key: Callable[[T], tuple[str, ...]], order: Callable[[T], str]
) -> dict[tuple[Hashable, ...], T]:
    found: dict[tuple[Hashable, ...], T] = {}
    count: dict[tuple[str, ...], int] = {}
    for item in sorted(items, key=order):
        name = key(item)
        count[name] = count.get(name, -1) + 1
        found[(*name, count[name])] = item
    return found
