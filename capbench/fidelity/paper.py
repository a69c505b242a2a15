"""The paper's tables as data, and the choice of rows from them (`--cells`). No torch."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from capbench.errors import UsageError
from capbench.presets.tracr import RATES

# The figures of a row, by the table's column: what is measured, in our words, and the reading's name for it.
FIGURES: Mapping[str, tuple[str, str]] = {
    "pt_c1": ("O_PT, C_Te 1", "tuned.O_PT.c_te1"),
    "ft_c1": ("O_FT, C_Te 1", "tuned.O_FT.c_te1"),
    "pt_c0": ("O_PT, C_Te 0", "tuned.O_PT.c_te0"),
    "ft_c0": ("O_FT, C_Te 0", "tuned.O_FT.c_te0"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fine-tuned model of a table. lr: as the paper writes it; paper: its figures by column, in per cent."""

    task: str
    lr: str
    c_tr: float  # an int where it is whole, as in the suites: 1 and 1.0 are two keys in the store
    paper: Mapping[str, float]

    @property
    def id(self) -> str:
        """The selector that chooses just this row."""
        return f"{self.task}:{self.lr}:{self.c_tr:g}"

    @property
    def rate(self) -> str:
        """The preset's name of the learning rate."""
        return next(name for name, eta in RATES.items() if eta == float(self.lr))


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper. studies: by task, the study (see protocols/studies.py) that makes its models."""

    name: str
    source: str
    studies: Mapping[str, str]
    rows: tuple[Row, ...]


def _tracr() -> Table:
    return Table(
        name="tracr",
        source="Jain et al., ICLR 2024, arXiv 2311.12786, Table 3",
        studies={"counter": "tracr-counter", "max": "tracr-max"},
        rows=_rows("tracr.csv"),
    )


TABLES = {"tracr": _tracr}


def load(name: str) -> Table:
    """The table of this name. Raises UsageError if there is none."""
    if name not in TABLES:
        raise UsageError(f"--table={name}: unknown table; known: {', '.join(TABLES)}")
    return TABLES[name]()


def select(table: Table, selectors: Sequence[str]) -> tuple[Row, ...]:
    """The rows that any of the selectors `task`, `task:lr`, `task:lr:c_tr` chooses, in the table's order; all without any.

    Each may be several, separated by commas. lr is the paper's number or the rate's name. Raises UsageError for one that
    chooses nothing.
    """
    single = [part.strip() for selector in selectors for part in selector.split(",")]
    chosen = {row.id for part in single for row in _chosen(table.rows, part)}
    return tuple(row for row in table.rows if row.id in chosen) if selectors else table.rows


def _chosen(rows: Sequence[Row], selector: str) -> list[Row]:
    """Narrow the rows part by part, so that the error can name what there would be in place of the wrong part."""
    parts, left = selector.split(":"), list(rows)
    for part, what, key in zip(parts, ("task", "lr", "c_tr"), ("task", "lr", "c_tr"), strict=False):
        found = [row for row in left if _matches(row, key, part)]
        if not found:
            known = ", ".join(dict.fromkeys(_word(row, key) for row in left))
            raise UsageError(f"--cells={selector}: no {what} {part!r} in the table; known: {known}")
        left = found
    if len(parts) > 3:
        raise UsageError(f"--cells={selector}: must be task, task:lr or task:lr:c_tr, as in {rows[0].id}")
    return left


def _matches(row: Row, key: str, given: str) -> bool:
    if key == "task":
        return given == row.task
    if key == "lr" and given == row.rate:
        return True
    try:
        return float(given) == float(row.lr if key == "lr" else row.c_tr)
    except ValueError:
        return False


def _word(row: Row, key: str) -> str:
    return {"task": row.task, "lr": f"{row.lr} ({row.rate})", "c_tr": f"{row.c_tr:g}"}[key]


def _rows(file: str) -> tuple[Row, ...]:
    text = resources.files("capbench.fidelity").joinpath("tables", file).read_text(encoding="utf-8")
    return tuple(_row(cells) for cells in csv.DictReader(_data(text.splitlines())))


def _data(lines: Iterable[str]) -> Iterable[str]:
    return (line for line in lines if not line.startswith("#"))


def _row(cells: Mapping[str, str]) -> Row:
    c_tr = float(cells["c_tr"])
    return Row(
        task=cells["task"],
        lr=cells["lr"],
        c_tr=int(c_tr) if c_tr.is_integer() else c_tr,
        paper={name: float(cells[name]) for name in FIGURES},
    )
