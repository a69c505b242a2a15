"""A comparison as text for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from capbench.errors import CapbenchError
from capbench.fidelity.compare import RULE, Cell, Figure, scores
from capbench.fidelity.paper import FIGURES, Table
from capbench.fidelity.run import Replication
from capbench.report.markdown import escape, facts, table
from capbench.report.words import line, seeds
from capbench.report.write import check_directory, write_whole
from capbench.results import RunInfo, to_dict

SCHEMA = 1  # of fidelity-<table>.json
MARKS: Mapping[bool | None, str] = {True: "✔", False: "✘", None: "·"}


def write(shown: Table, found: Replication, run: RunInfo, directory: Path) -> list[Path]:
    """Write fidelity-<table>.json and .md in the directory, each whole or not at all."""
    check_directory(directory)
    files = {".json": to_json(shown, found, run), ".md": to_markdown(shown, found, run)}
    written = []
    for suffix, text in files.items():
        file = directory / f"fidelity-{shown.name}{suffix}"
        try:
            write_whole(file, text)
        except OSError as error:
            raise CapbenchError(f"cannot write '{file}': {error.strerror or error}") from error
        written.append(file)
    return written


def to_text(shown: Table, found: Replication, run: RunInfo) -> str:
    """For a terminal of 120 columns: a table per task, what it comes to, and where the two disagree."""
    from tabulate import tabulate

    parts = [f"{_title(shown, run)}\nin per cent: paper's, ours [95 % interval], {_legend()}"]
    for task, cells in _by_task(found).items():
        head = ["lr", "C_Tr", *(f"{words}\npaper, ours" for words, _ in FIGURES.values())]
        columns = [_beside(cells, i) for i in range(len(FIGURES))]
        rows = [[c.row.lr, f"{c.row.c_tr:g}", *beside] for c, *beside in zip(cells, *columns, strict=True)]
        align = ["left", "left", *("right" for _ in FIGURES)]
        grid = tabulate(rows, headers=head, tablefmt="simple", disable_numparse=True, colalign=align)
        parts.append("\n".join([task, grid, *_base(found, task)]))
    parts += ["\n".join(["not agreeing:", *(f"  {words}" for words in apart)]) for apart in [_apart(found)] if apart]
    parts.append("\n".join([*_problems(found), *(score.words for score in scores(found.cells))]))
    return "\n\n".join(parts)


def to_markdown(shown: Table, found: Replication, run: RunInfo) -> str:
    """The whole of fidelity-<table>.md."""
    parts = [
        f"# Fidelity: {escape(_title(shown, run))}",
        "\n".join(f"- **{escape(score.words)}**" for score in scores(found.cells)),
        f"{RULE} In per cent: the paper's figure, ours [95 % interval over seeds], {_legend()}.",
    ]
    for task, cells in _by_task(found).items():
        head = ["lr", "C_Tr", *(part for words, _ in FIGURES.values() for part in (f"{words}: paper", "ours"))]
        rows = [
            [
                *(cell.row.lr, f"{cell.row.c_tr:g}"),
                *(part for f in cell.figures for part in (f"{f.paper:.1f}", f"{_ours(cell, f)} {MARKS[f.agrees]}")),
            ]
            for cell in cells
        ]
        parts += [f"## {escape(task)}", table(head, rows, numbers_from=2), *map(escape, _base(found, task))]
    for title, lines in (("Not agreeing", _apart(found)), ("Without figures", _problems(found))):
        if lines:
            parts += [f"## {title}", "\n".join(f"- {escape(words)}" for words in lines)]
    parts += ["## Run", table(["", ""], [list(fact) for fact in facts(run)], numbers_from=2)]
    return "\n\n".join(parts) + "\n"


def to_json(shown: Table, found: Replication, run: RunInfo) -> str:
    """The whole of fidelity-<table>.json; figures in per cent."""
    document = {
        "schema": SCHEMA,
        "kind": "fidelity",
        "table": shown.name,
        "source": shown.source,
        "rule": RULE,
        "run": to_dict(run),
        "scores": to_dict(scores(found.cells)),
        "base": to_dict(found.base),
        "cells": [_cell_json(cell) for cell in found.cells],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _cell_json(cell: Cell) -> dict[str, Any]:
    row = cell.row
    return {
        **{"task": row.task, "lr": row.lr, "rate": row.rate, "c_tr": row.c_tr},
        **{"diverged": cell.diverged, "failed": cell.failed},
        "figures": {f.name: _figure_json(f) for f in cell.figures},
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    return {
        "paper": figure.paper,
        "per_seed": list(figure.per_seed),
        "mean": None if figure.ours is None else round(figure.ours, 4),
        "interval": figure.ci and [round(end, 4) for end in figure.ci],
        "decisive": figure.decisive,
        "agrees": figure.agrees,
    }


def _title(shown: Table, run: RunInfo) -> str:
    return (
        f"table {shown.name} ({shown.source}) at scale {run.scale}, {seeds(run.seeds)}, method {', '.join(run.methods)}"
    )


def _legend() -> str:
    return f"{MARKS[True]} agrees, {MARKS[False]} does not, {MARKS[None]} not judged"


def _by_task(found: Replication) -> dict[str, list[Cell]]:
    return {task: [c for c in found.cells if c.row.task == task] for task in (cell.row.task for cell in found.cells)}


def _base(found: Replication, task: str) -> list[str]:
    """The control: what was fine-tuned could do O_PT before."""
    if task not in found.base:
        return []
    return [f"before fine-tuning: O_PT accuracy {found.base[task]:.1f} or more, on every seed and at C_Te 1 and 0"]


def _beside(cells: Sequence[Cell], column: int) -> list[str]:
    """One column of the terminal's table, all of its parts aligned; narrow, so intervals are in whole per cents."""
    numbers = [_number(cell, cell.figures[column], digits=0) for cell in cells]
    width = max(map(len, numbers))
    figures = [cell.figures[column] for cell in cells]
    return [f"{f.paper:5.1f}  {n.ljust(width)} {MARKS[f.agrees]}" for f, n in zip(figures, numbers, strict=True)]


def _ours(cell: Cell, figure: Figure) -> str:
    return _number(cell, figure, digits=1).strip()


def _number(cell: Cell, figure: Figure, *, digits: int) -> str:
    """Ours with its interval, the points of the means below each other; digits: of the interval."""
    if figure.ours is None:
        return "failed" if cell.failed else "diverged"
    ends = f" [{figure.ci[0]:.{digits}f}, {figure.ci[1]:.{digits}f}]" if figure.ci else ""
    return f"{figure.ours:5.1f}{ends}"


def _apart(found: Replication) -> list[str]:
    return [
        f"{cell.row.id}, {FIGURES[f.name][0]}: paper {f.paper:.1f}, ours {_ours(cell, f)}"
        for cell in found.cells
        for f in cell.disagreements
    ]


def _problems(found: Replication) -> list[str]:
    reasons: Sequence[tuple[Cell, str]] = [(c, why) for c in found.cells for why in (c.diverged, c.failed) if why]
    return [f"{cell.row.id}: {line(why)}" for cell, why in reasons]
