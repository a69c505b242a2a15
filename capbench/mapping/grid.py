"""The grid of a map: two conditions with their values, and which places of it are looked at. Pure arithmetic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from capbench.errors import UsageError

Value = float | str
COUNTS = ("blocks",)  # conditions that are whole numbers
Place = tuple[Value, Value]  # the value of the condition to the right, and of that upwards


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A condition and its values, numbers in rising order or words as they were given.

    log: numbers that are all positive and span a factor of ten or more lie on a logarithmic scale, as rates do.
    """

    name: str
    values: tuple[Value, ...]

    @property
    def numbers(self) -> bool:
        return all(not isinstance(value, str) for value in self.values)

    @property
    def log(self) -> bool:
        found = [value for value in self.values if not isinstance(value, str)]
        return self.numbers and min(found) > 0 and max(found) >= 10 * min(found)

    def between(self, low: Value, high: Value) -> Value | None:
        """The value halfway on the axis, to two digits; None between words, and where there is nothing between."""
        if isinstance(low, str | bool) or isinstance(high, str | bool):
            return None
        middle = float(f"{math.sqrt(low * high) if self.log else (low + high) / 2:.2g}")
        if self.name in COUNTS:
            middle = round(middle)
        return number(middle) if low < middle < high else None


def axis(option: str, text: str) -> Axis:
    """An axis as typed, `rate=0.1,1,10`. Raises UsageError, one line."""
    name, equals, listed = text.partition("=")
    values = [value(part.strip()) for part in listed.split(",") if part.strip()]
    if not name.strip() or not equals or len(values) < 2:
        raise UsageError(f"{option} {text}: must be a condition and two values or more, as in rate=0.1,1,10")
    if len(set(values)) < len(values):
        raise UsageError(f"{option} {text}: has a value twice")
    if name.strip() == "prior" or any(isinstance(found, str) for found in values):  # a prior is a name, as 0.9 is one
        words = tuple(part.strip() for part in listed.split(",") if part.strip())
        return Axis(name=name.strip(), values=words)
    return Axis(name=name.strip(), values=tuple(sorted(v for v in values if not isinstance(v, str))))


def value(text: str) -> Value:
    """A finite number, whole ones as integers, as they are in the suites' cases; True or False; else the text."""
    if text in ("True", "False"):
        return text == "True"
    try:
        found = float(text)
    except ValueError:
        return text
    return number(found) if math.isfinite(found) else text


def number(found: float) -> float:
    """An int where it is whole: 1 and 1.0 are two keys in the store."""
    return int(found) if float(found).is_integer() and abs(found) < 1e9 else found


def coarse(x: Axis, y: Axis) -> list[Place]:
    """Every place of the grid, row by row."""
    return [(right, up) for up in y.values for right in x.values]


def neighbours(x: Axis, y: Axis, places: Iterable[Place]) -> list[tuple[Place, Place]]:
    """Pairs of places that follow each other in a row or in a column, whatever lies between rows or columns."""
    there = set(places)
    order = (_order(x, (p[0] for p in there)), _order(y, (p[1] for p in there)))
    pairs: list[tuple[Place, Place]] = []
    for along in (0, 1):
        lines: dict[Value, list[Place]] = {}
        for place in sorted(there, key=lambda p: (order[1][p[1]], order[0][p[0]])):
            lines.setdefault(place[1 - along], []).append(place)
        for line in lines.values():
            ordered = sorted(line, key=lambda p: order[along][p[along]])
            pairs += itertools.pairwise(ordered)
    return pairs


def edges(x: Axis, y: Axis, outcomes: Mapping[Place, Hashable]) -> list[tuple[Place, Place]]:
    """Neighbours that differ: the boundaries of the map run between them."""
    return [(a, b) for a, b in neighbours(x, y, outcomes) if outcomes[a] != outcomes[b]]


def halfway(x: Axis, y: Axis, pairs: Sequence[tuple[Place, Place]]) -> list[Place]:
    """Places halfway between neighbours that differ, where there is something between."""
    found: dict[Place, None] = {}
    for (ax, ay), (bx, by) in pairs:
        if ay == by and (middle := x.between(ax, bx)) is not None:
            found[middle, ay] = None
        elif ax == bx and (middle := y.between(ay, by)) is not None:
            found[ax, middle] = None
    return list(found)


def ordered(axis: Axis, values: Iterable[Value]) -> list[Value]:
    """Each value once, in the order of the axis; those that came in between among them."""
    order = _order(axis, values)
    return sorted(order, key=order.__getitem__)


def _order(axis: Axis, values: Iterable[Value]) -> dict[Value, float]:
    if axis.numbers:
        return {found: float(found) for found in values}
    return {found: float(axis.values.index(found)) for found in values}
