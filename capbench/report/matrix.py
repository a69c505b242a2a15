"""Models by tools: the state of each model, and what each tool reads of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from capbench.report import plain
from capbench.report.words import line, number, typeset
from capbench.results import Capability, Evidence, Results

COLUMNS = ("behaviour", "revival", "probing", "pruning", "patching", "attacks")
# Tools under another name than their column's. Those that no column knows are attacks, such as a revival in another way.
_COLUMN = {
    **{"compiled revival": "revival", "story revival": "revival", "reFT": "revival"},
    **{"probe": "probing", "circuit": "probing", "story probing": "probing"},
    **{"weight pruning": "pruning", "story pruning": "pruning"},
    **{"compiled patching": "patching", "story patching": "patching"},
}
_PRIOR = {"low": 0, "high": 1, "never": 2}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One tool's word on a model. name: of the tool, without the column's. spread: lowest and highest seed, '' without."""

    name: str
    reading: str
    value: str
    spread: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model. index: its place among the run's verdicts, from 1. cells: of each column, none where nothing was read."""

    index: int
    words: str
    symbols: str
    found: Capability
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """columns: those with a reading. groups: the rows of one model, task and method, under their name."""

    columns: tuple[str, ...]
    groups: tuple[tuple[str, tuple[ModelRow, ...]], ...]


def matrix(results: Results) -> Matrix:
    """The verdicts of a run; models that differ in their case alone stand together, the shortcut's first."""
    several = len({found.method for found in results.capabilities}) > 1
    used = {column_of(evidence.tool) for found in results.capabilities for evidence in found.evidence}
    columns = tuple(column for column in COLUMNS if column in used)
    groups: dict[str, list[ModelRow]] = {}
    for index, found in enumerate(results.capabilities, 1):
        name = ", ".join(filter(None, [line(found.task), line(found.model)]))
        group = f"{line(found.method)}: {name}" if several else name
        groups.setdefault(group, []).append(_row(index, found, columns))
    ordered = sorted(groups.items(), key=lambda item: len(item[1]), reverse=True) if not several else groups.items()
    return Matrix(columns=columns, groups=tuple((name, tuple(sorted(rows, key=_place))) for name, rows in ordered))


def column_of(tool: str) -> str:
    """The column that a tool belongs to."""
    return tool if tool in COLUMNS else _COLUMN.get(tool, "attacks")


def _row(index: int, found: Capability, columns: Sequence[str]) -> ModelRow:
    cells = [tuple(_cell(e, column) for e in found.evidence if column_of(e.tool) == column) for column in columns]
    return ModelRow(
        index=index,
        words=line(plain.of_capability(found)),
        symbols=line(plain.symbols(found)),
        found=found,
        cells=tuple(cells),
    )


def _cell(evidence: Evidence, column: str) -> Cell:
    bound = {">=": "≥ ", "<=": "≤ "}.get(evidence.bound, "")
    known = [value for value in evidence.per_seed.values() if value is not None]
    ends = (number(end, unit=evidence.unit) for end in (min(known), max(known))) if len(known) > 1 else ()
    return Cell(
        name=line(evidence.tool.removesuffix(column)),
        reading=evidence.reading,
        value=bound + typeset(number(evidence.value, unit=evidence.unit)),
        spread=typeset(f"[{', '.join(ends)}]") if len(known) > 1 and not evidence.bounds else "",
        rule=line(": ".join(filter(None, [evidence.unit, evidence.rule]))),
    )


def _place(row: ModelRow) -> tuple[int, float, str]:
    protocol: Mapping[str, object] = row.found.protocol
    share = protocol.get("c_tr")
    return _PRIOR.get(str(protocol.get("prior")), 3), -share if isinstance(share, (int, float)) else 0.0, row.words
