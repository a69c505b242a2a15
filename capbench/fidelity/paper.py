"""The paper's tables as data, and the choice of rows from them (`--cells`). No torch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from capbench.errors import UsageError
from capbench.studies.lab import Reading
from capbench.studies.pcfg import preset as pcfg
from capbench.studies.pcfg import readings as pcfg_readings
from capbench.studies.tracr import preset as tracr
from capbench.studies.tracr import readings as tracr_readings


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What a column of a table holds, in words, and where our figure comes from: either a reading or a curve.

    reading: a measurement of the table's `behaviour`. curve: a curve of the fine-tuning, read after a tenth of it. before: the
    figure before fine-tuning: the column that says so, or what holds by construction, in per cent; None where neither is known.
    """

    words: str
    reading: str = ""
    curve: str = ""
    before: str | float | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """The rows of one experiment. study: see studies/registry.py; base: what names its base model, apart from the seed."""

    name: str
    title: str
    study: str
    base: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fine-tuned model of a table. lr: as the paper writes it; rate: the presets' name of it; paper: figures by column."""

    group: Group
    lr: str
    rate: str
    c_tr: float  # an int where it is whole, as in the suites: 1 and 1.0 are two keys in the store
    paper: Mapping[str, float]  # in per cent

    @property
    def id(self) -> str:
        """The selector that chooses just this row."""
        return f"{self.group.name}:{self.lr}:{self.c_tr:g}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the paper.

    key: what tells its groups apart, in a word. figures: by column. blocks: the columns that are shown side by side.
    behaviour: the reading behind the figures. pretrain_steps, finetune_steps: the paper's; None if nothing is pretrained.
    """

    name: str
    source: str
    key: str
    figures: Mapping[str, Quantity]
    blocks: tuple[tuple[str, ...], ...]
    behaviour: Reading
    pretrain_steps: int | None
    finetune_steps: int
    rows: tuple[Row, ...]


def _tracr() -> Table:
    # The compiled program answers O_PT, and where the correlation holds the answer to O_FT is another one.
    by_construction = {"pt_c1": 100.0, "ft_c1": 0.0, "pt_c0": 100.0}
    figures = {
        name: Quantity(
            words=f"{operand}, C_Te {c_te}", reading=f"tuned.{operand}.c_te{c_te}", before=by_construction.get(name)
        )
        for c_te in (1, 0)
        for name, operand in ((f"pt_c{c_te}", "O_PT"), (f"ft_c{c_te}", "O_FT"))
    }
    groups = {name: Group(name=name, title=name, study=f"tracr-{name}") for name in ("counter", "max")}
    return Table(
        name="tracr",
        source="Jain et al., ICLR 2024, arXiv 2311.12786, Table 3",
        key="task",
        figures=figures,
        blocks=(tuple(figures),),
        behaviour=tracr_readings.behaviour,
        pretrain_steps=None,
        finetune_steps=10_000,
        rows=_rows("tracr.csv", lambda cells: groups[cells["task"]], tracr.RATES, figures),
    )


def _pcfg_counting() -> Table:
    blocks = {column: _over_time(column, operand) for column, operand in (("pt", "O_PT"), ("ft", "O_FT"))}
    figures = blocks["pt"] | blocks["ft"]
    groups = {
        pcfg.PRIORS[name]["a"]: Group(name=name, title=f"prior {name}", study="pcfg-counter", base={"prior": name})
        for name in ("low", "high")
    }
    return Table(
        name="pcfg-counting",
        source="Jain et al., ICLR 2024, arXiv 2311.12786, Table 5",
        key="prior",
        figures=figures,
        blocks=tuple(tuple(block) for block in blocks.values()),
        behaviour=pcfg_readings.behaviour,
        pretrain_steps=200_000,
        finetune_steps=10_000,
        rows=_rows("pcfg_counting.csv", lambda cells: groups[float(cells["prior_a"])], pcfg.paper().rates, figures),
    )


def _over_time(column: str, operand: str) -> dict[str, Quantity]:
    """An operand's accuracy before fine-tuning (without the correlation), after a tenth of it, and at its end."""
    before = f"{column}_pretrained"
    found = {before: Quantity(words=f"{operand}, before", reading=f"base.{operand}.c_te0", before=before)}
    for c_te in (0, 1):
        asked = f"{operand}, C_Te {c_te}"
        at_the_end = f"tuned.{operand}.c_te{c_te}"
        found[f"{column}_c{c_te}_1k"] = Quantity(words=f"{asked}, after a tenth", curve=asked, before=before)
        found[f"{column}_c{c_te}_10k"] = Quantity(words=f"{asked}, at the end", reading=at_the_end, before=before)
    return found


TABLES: Mapping[str, Callable[[], Table]] = {"tracr": _tracr, "pcfg-counting": _pcfg_counting}


def load(name: str) -> Table:
    """The table of this name. Raises UsageError if there is none."""
    if name not in TABLES:
        raise UsageError(f"--table={name}: unknown table; known: {', '.join(TABLES)}")
    return TABLES[name]()


def select(table: Table, selectors: Sequence[str]) -> tuple[Row, ...]:
    """The rows that any of the selectors `key`, `key:lr`, `key:lr:c_tr` chooses, in the table's order; all without any.

    key is the table's own, as in `counter` (a task) or `low` (a prior). Each selector may be several, separated by commas.
    lr is the paper's number or the rate's name. Raises UsageError for one that chooses nothing.
    """
    single = [part.strip() for selector in selectors for part in selector.split(",")]
    chosen = {row.id for part in single for row in _chosen(table, part)}
    return tuple(row for row in table.rows if row.id in chosen) if selectors else table.rows


def _chosen(table: Table, selector: str) -> list[Row]:
    """Narrow the rows part by part, so that the error can name what there would be in place of the wrong part."""
    parts, left, keys = selector.split(":"), list(table.rows), (table.key, "lr", "c_tr")
    for part, key in zip(parts, keys, strict=False):
        found = [row for row in left if _matches(row, key, part)]
        if not found:
            known = ", ".join(dict.fromkeys(_word(row, key) for row in left))
            raise UsageError(f"--cells={selector}: no {key} {part!r} in the table; known: {known}")
        left = found
    if len(parts) > len(keys):
        key = table.key
        raise UsageError(f"--cells={selector}: must be {key}, {key}:lr or {key}:lr:c_tr, as in {table.rows[0].id}")
    return left


def _matches(row: Row, key: str, given: str) -> bool:
    if key not in ("lr", "c_tr"):
        return given == row.group.name
    if key == "lr" and given == row.rate:
        return True
    try:
        return float(given) == float(row.lr if key == "lr" else row.c_tr)
    except ValueError:
        return False


def _word(row: Row, key: str) -> str:
    return {"lr": f"{row.lr} ({row.rate})", "c_tr": f"{row.c_tr:g}"}.get(key, row.group.name)


def _rows(
    file: str,
    group: Callable[[Mapping[str, str]], Group],
    rates: Mapping[str, float],
    columns: Iterable[str],
) -> tuple[Row, ...]:
    text = resources.files("capbench.fidelity").joinpath("tables", file).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    names = {eta: name for name, eta in rates.items()}
    return tuple(
        Row(
            group=group(cells),
            lr=cells["lr"],
            rate=names[float(cells["lr"])],
            c_tr=_number(cells["c_tr"]),
            paper={column: float(cells[column]) for column in columns},
        )
        for cells in csv.DictReader(lines)
    )


def _number(text: str) -> float:
    value = float(text)
    return int(value) if value.is_integer() else value
