"""Rows of the table in benchmarks/RESULTS.md: what a benchmark reports, kept in its JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speed.rounds import quartiles

Row = dict[str, Any]


def row(part: str, what: str, values: Sequence[float], unit: str, *, aim: str = "") -> Row:
    """A figure: the median of `values` and their quartiles. aim: what is wanted, as in '>= 2.2'."""
    low, median, high = quartiles(values)
    return {
        "part": part,
        "what": what,
        "value": _short(median),
        "low": _short(low),
        "high": _short(high),
        "n": len(values),
        "unit": unit,
        "aim": aim,
    }


def fitted(part: str, what: str, value: float, error: float) -> Row:
    """A number, without a unit, that was fitted to measurements, and the standard error of the fit."""
    return {"part": part, "what": what, "value": _short(value), "error": _short(error), "unit": "", "aim": ""}


def keep(benchmark: Any, *rows: Row) -> None:
    """Add rows to a benchmark of pytest-benchmark."""
    benchmark.extra_info.setdefault("rows", []).extend(rows)


def _short(value: float) -> float:
    """Four digits are more than these figures repeat to."""
    return float(f"{value:.4g}")
