"""A whole run: the content of results.json, and the versions of it that are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capbench.results.claims import Record
from capbench.results.models import Capability

SCHEMA = 10
# Schema 1 had no grids; 1 and 2 no expectations and no evidence per seed; 1 to 3 no variants; 1 to 4 no user-defined task;
# 1 to 5 neither studies nor what was not calibrated; 1 to 6 no warnings; 1 to 7 neither how an interval was found, nor states per
# seed, nor collateral damage, nor bounds (a censored revival stood there as a plain value); 1 to 8 no relabelling; 1 to 9 no
# passages. Otherwise they are the same.
READABLE = (1, 2, 3, 4, 5, 6, 7, 8, 9, SCHEMA)


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """Where and how a run was made; enough to repeat it.

    task: for a user-defined task, its `id` (part of the records' task) and its `specification` as plain values.
    """

    run_id: str
    capbench: str
    git_commit: str | None
    python: str
    torch: str | None
    device: str
    threads: int
    scale: str
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    command: str
    start: str  # ISO 8601, UTC
    seconds: float
    task: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Results:
    """A whole run: the content of results.json. warnings: one line for each doubt about models that were not made anew."""

    run: RunInfo
    records: tuple[Record, ...]
    capabilities: tuple[Capability, ...]
    warnings: tuple[str, ...] = ()
    schema: int = SCHEMA
