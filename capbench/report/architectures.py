"""Claims by architecture: a row for each architecture of a run, a column for each claim that was tried on several."""

from __future__ import annotations

from typing import NamedTuple

from capbench.report.words import in_order, line, methods, number
from capbench.results import Record, Results

_NAME = "architecture"


class Cell(NamedTuple):
    """status: of the claim, '' where it was not tried. effect: with two decimals, or a dash."""

    status: str = ""
    effect: str = ""


class Pivot(NamedTuple):
    """claims: the columns, as `wrapper.pruning[prior=low,c_tr=1]`. rows: an architecture (and method) and its cells."""

    claims: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def by_architecture(results: Results) -> Pivot | None:
    """The claims whose case names an architecture; None where no claim was tried on two of them."""
    several = len(methods(results)) > 1
    found: dict[str, dict[str, Cell]] = {}  # row -> claim -> cell
    for record in in_order(results.records):
        architecture, claim = _parted(record)
        if architecture:
            row = f"{architecture}, {line(record.method)}" if several and record.method else architecture
            cell = Cell(str(record.verdict.status), number(record.verdict.effect))
            found.setdefault(row, {})[claim] = cell
    claims = list(dict.fromkeys(claim for cells in found.values() for claim in cells))
    if not any(sum(claim in cells for cells in found.values()) > 1 for claim in claims):
        return None
    rows = tuple((row, tuple(cells.get(claim, Cell()) for claim in claims)) for row, cells in found.items())
    return Pivot(tuple(claims), rows)


def _parted(record: Record) -> tuple[str, str]:
    """The architecture of a record, '' if it names none; and its claim with the rest of its case."""
    parts = [part for part in record.case.split(",") if part]
    named = [part.partition("=")[2] for part in parts if part.startswith(f"{_NAME}=")]
    rest = ",".join(part for part in parts if not part.startswith(f"{_NAME}="))
    return (line(named[0]) if named else ""), line(f"{record.claim}[{rest}]" if rest else record.claim)
