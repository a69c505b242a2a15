"""Rows of the paper's tables beside figures that are made up."""

from __future__ import annotations

from collections.abc import Sequence

from capbench.fidelity.compare import Cell, compare
from capbench.fidelity.known import load
from capbench.fidelity.paper import Table, select

TABLE, PCFG, STORIES = load("tracr"), load("pcfg-counting"), load("stories")
NAMES = tuple(TABLE.figures)


def cell(selector: str, *seeds: Sequence[float | None] | None, table: Table = TABLE, **why: str) -> Cell:
    """The chosen row beside all its figures per seed."""
    (row,) = select(table, [selector])
    ours = [None if seed is None else dict(zip(table.figures, seed, strict=True)) for seed in seeds]
    return compare(row, ours, **why)
