"""Readings of no cost, for tests of who carries out what: one is lost on odd seeds, one is made of parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built, made_of


def _value(bench: Bench[Any], name: str, value: float) -> Measurement:
    return Measurement(name=name, value=value, unit="accuracy", n=1, seed=bench.seed)


def shown(bench: Bench[Any], base: Built) -> Iterator[Measurement]:
    """`shown`: 1 on even seeds, 0 on odd ones; none on seed 9."""
    if bench.seed == 9:
        raise ValueError("cannot be read")
    yield _value(bench, "shown", float(bench.seed % 2 == 0))


def sought(bench: Bench[Any], base: Built) -> Iterator[Measurement]:
    """`sought`: what is looked for where something is lost."""
    yield _value(bench, "sought", 1.0)


def part(bench: Bench[Any], base: Built, name: str) -> Iterator[Measurement]:
    """`part.<name>`."""
    yield _value(bench, f"part.{name}", 1.0)


@made_of(part, lambda study: ({"name": "one"}, {"name": "two"}), of=("base",))
def whole(bench: Bench[Any], base: Built) -> Iterator[Measurement]:
    """Made of two parts, and of seed 9 it cannot be."""
    for name in ("one", "two"):
        yield from bench.read(part, {"base": base}, name=name)
    if bench.seed == 9:
        raise ValueError("cannot be made")
