"""A comparison as text for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from capbench.errors import CapbenchError
from capbench.fidelity.compare import RULE, Cell, Figure, Gap, scores
from capbench.fidelity.paper import HEADS, Group, Row, Table
from capbench.fidelity.run import Replication
from capbench.fidelity.skill import WORDS, Baseline, Skill, skills
from capbench.report.markdown import escape, facts, table
from capbench.report.words import line, number, seeds
from capbench.report.write import check_directory
from capbench.results import RunInfo, to_dict
from capbench.store.files import write_whole

SCHEMA = 2  # of fidelity-<table>.json; schema 1 had no baselines
WIDTH = 120  # of a terminal
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
    """For a terminal: tables per group, the totals, and where the two disagree."""
    tables, legend = list(_tables(shown, found, intervals=True)), "ours [95 % interval]"
    if max(len(row) for part in tables for row in part.splitlines()) > WIDTH:
        tables, legend = list(_tables(shown, found, intervals=False)), "ours (intervals: see the report)"
    parts = [
        "\n".join([_title(shown, run), *_notes(shown, found), f"in per cent: paper's, {legend}, {_legend(found)}"])
    ]
    parts += tables
    parts += [
        "\n".join(["not agreeing:", *(f"  {words}" for words in apart)]) for apart in [_apart(shown, found)] if apart
    ]
    against = [words for skill in skills(shown, found.cells) for words in skill.lines]
    totals = [*(score.words for score in scores(found.cells)), *against]
    parts.append("\n".join([*_problems(found), *totals, *_left(found)]))
    return "\n\n".join(parts)


def to_markdown(shown: Table, found: Replication, run: RunInfo) -> str:
    """The whole of fidelity-<table>.md."""
    answer = [f"**{escape(score.words)}**" for score in scores(found.cells)] + [escape(words) for words in _left(found)]
    parts = [
        f"# Fidelity: {escape(_title(shown, run))}",
        "\n".join(f"- {words}" for words in answer),
        f"{RULE} In per cent: the paper's figure, ours [95 % interval over seeds], {_legend(found)}.",
        *_against(shown, found),
        *(["\n".join(f"- {escape(words)}" for words in notes)] if (notes := _notes(shown, found)) else []),
    ]
    for group, cells in _by_group(found):
        parts.append(f"## {escape(group.title)}")
        for block in shown.blocks:
            words = [shown.figures[column].words for column in block]
            head = [*_heads(shown), *(part for column in words for part in (f"{column}: paper", "ours"))]
            rows = [
                [
                    *_names(shown, cell.row, found),
                    *(
                        part
                        for f in _chosen(cell, block)
                        for part in (f"{f.paper:.1f}", f"{_ours(f)} {MARKS[f.agrees]}")
                    ),
                ]
                for cell in cells
            ]
            parts.append(table(head, rows, numbers_from=len(shown.names)))
        parts += map(escape, _base(shown, found, group))
    for title, lines in (("Not agreeing", _apart(shown, found)), ("Without figures", _problems(found))):
        if lines:
            parts += [f"## {title}", "\n".join(f"- {escape(words)}" for words in lines)]
    steps = [(name, f"{here} steps (paper: {paper})") for name, (here, paper) in _steps(shown, found).items()]
    parts += ["## Run", table(["", ""], [list(fact) for fact in [*facts(run), *steps]], numbers_from=2)]
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
        "steps": {name: {"here": here, "paper": paper} for name, (here, paper) in _steps(shown, found).items()},
        "scores": [
            {shown.key: s.group.name, "agree": s.agree, "decisive": s.decisive, **_skill_json(skill)}
            for s, skill in zip(scores(found.cells), skills(shown, found.cells), strict=True)
        ],
        "base": to_dict(found.base),
        "cells": [_cell_json(shown, cell, found) for cell in found.cells],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _skill_json(found: Skill) -> dict[str, Any]:
    """Baselines on all judged figures, and on those alone that the paper moves."""

    def document(baseline: Baseline) -> dict[str, Any]:
        skill = None if baseline.skill is None else round(baseline.skill, 4)
        return {"judged": baseline.judged, "agree": baseline.agree, "ours": baseline.ours, "skill": skill}

    both = (("baselines", found.everything), ("moved", found.moved))
    return {name: {b.name: document(b) for b in baselines} for name, baselines in both}


def _cell_json(shown: Table, cell: Cell, found: Replication) -> dict[str, Any]:
    row = cell.row
    return {
        **{shown.key: row.group.name, "lr": row.lr, "rate": row.rate, "eta": found.preset.rates.get(row.rate)},
        **({} if row.c_tr is None else {"c_tr": row.c_tr}),
        **{"diverged": cell.diverged, "failed": cell.failed, "unmade": cell.unmade},
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


def _against(shown: Table, found: Replication) -> list[str]:
    """Ours beside the baselines, as Markdown."""
    head = ["", "figures", "judged", "guess", "guess agrees", "ours agree", "skill"]
    rows = [
        [skill.group.title, which, str(b.judged), b.name, str(b.agree), str(b.ours), number(b.skill)]
        for skill in skills(shown, found.cells)
        for which, baselines in (("all", skill.everything), ("where the paper moves", skill.moved))
        for b in baselines
    ]
    return ["## Against a guess", WORDS, table(head, rows, numbers_from=4)]


def _title(shown: Table, run: RunInfo) -> str:
    return (
        f"table {shown.name} ({shown.source}) at scale {run.scale}, {seeds(run.seeds)}, method {', '.join(run.methods)}"
    )


def _legend(found: Replication) -> str:
    marks = f"{MARKS[True]} agrees, {MARKS[False]} does not, {MARKS[None]} not judged"
    unmeasured = any(f.gap is Gap.UNMEASURED for cell in found.cells for f in cell.figures)
    return f"{marks}, {Gap.UNMEASURED} not recorded by the method" if unmeasured else marks


def _steps(shown: Table, found: Replication) -> dict[str, tuple[int, int]]:
    """Steps of training here and behind the paper's figures."""
    steps = {"fine-tuning": (found.preset.finetune_steps, shown.finetune_steps)}
    if shown.pretrain_steps is None:
        return steps
    return {"pretraining": (found.preset.pretrain_steps, shown.pretrain_steps), **steps}


def _notes(shown: Table, found: Replication) -> list[str]:
    """What differs from the paper, and what 'after a tenth' means."""
    preset = found.preset
    notes = [
        f"{name}: {here} steps; the paper's figures are after {paper}"
        for name, (here, paper) in _steps(shown, found).items()
        if here != paper
    ]
    notes += shown.notes(preset)
    other = {cell.row.lr: cell.row.rate for cell in found.cells if _other_rate(cell.row, found)}
    if other:
        notes.append("lr here: " + ", ".join(f"{lr} {rate} is {preset.rates[rate]:g}" for lr, rate in other.items()))
    if any(quantity.curve for quantity in shown.figures.values()):
        early = f"{preset.finetune_steps // 10} of {preset.finetune_steps} steps of fine-tuning"
        notes.append(f"after a tenth: after {early}, on {preset.n_watch} strings; else on {preset.n_evaluate}")
    return notes


def _other_rate(row: Row, found: Replication) -> bool:
    return bool(row.lr) and bool(found.preset.rates[row.rate] != float(row.lr))


def _heads(shown: Table) -> list[str]:
    return [HEADS[name] for name in shown.names]


def _names(shown: Table, row: Row, found: Replication) -> list[str]:
    """A row's lr and C_Tr; with the name of the rate, where that and not the number is what it shares with the paper's."""
    lr = f"{row.lr} {row.rate}" if _other_rate(row, found) else row.lr
    every = {"lr": lr, "c_tr": "" if row.c_tr is None else f"{row.c_tr:g}"}
    return [every[name] for name in shown.names]


def _by_group(found: Replication) -> list[tuple[Group, list[Cell]]]:
    groups = {cell.row.group.name: cell.row.group for cell in found.cells}
    return [(group, [c for c in found.cells if c.row.group.name == name]) for name, group in groups.items()]


def _chosen(cell: Cell, columns: Sequence[str]) -> list[Figure]:
    by_name = {figure.name: figure for figure in cell.figures}
    return [by_name[column] for column in columns]


def _base(shown: Table, found: Replication, group: Group) -> list[str]:
    """The control: the models could do O_PT before fine-tuning."""
    if group.name not in found.base:
        return []
    return [f"before fine-tuning: {shown.control.format(f'{found.base[group.name]:.1f}')}"]


def _tables(shown: Table, found: Replication, *, intervals: bool) -> Iterator[str]:
    """The terminal's: per group and block."""
    from tabulate import tabulate

    for group, cells in _by_group(found):
        grids = []
        for block in shown.blocks:
            heads = [textwrap.fill(shown.figures[column].words, 14) for column in block]
            columns = [_beside([_chosen(cell, [column])[0] for cell in cells], intervals) for column in block]
            rows = [[*_names(shown, c.row, found), *beside] for c, *beside in zip(cells, *columns, strict=True)]
            head = [*_heads(shown), *(f"{words}\npaper, ours" for words in heads)]
            align = [*("left" for _ in shown.names), *("right" for _ in block)]
            grids.append(tabulate(rows, headers=head, tablefmt="simple", disable_numparse=True, colalign=align))
        yield "\n".join([group.title, "\n\n".join(grids), *_base(shown, found, group)])


def _beside(figures: Sequence[Figure], intervals: bool) -> list[str]:
    """One column of the terminal's table, all its parts aligned; narrow, so intervals are in whole per cents."""
    numbers = [_number(figure, digits=0 if intervals else None) for figure in figures]
    width = max(map(len, numbers))
    return [f"{f.paper:5.1f}  {n.ljust(width)} {MARKS[f.agrees]}" for f, n in zip(figures, numbers, strict=True)]


def _ours(figure: Figure) -> str:
    return _number(figure, digits=1).strip()


def _number(figure: Figure, *, digits: int | None) -> str:
    """Ours with its interval, the decimal points of the means aligned; digits: of the interval, None for none."""
    if figure.ours is None:
        return str(figure.gap)
    ends = f" [{figure.ci[0]:.{digits}f}, {figure.ci[1]:.{digits}f}]" if figure.ci and digits is not None else ""
    return f"{figure.ours:5.1f}{ends}"


def _apart(shown: Table, found: Replication) -> list[str]:
    return [
        f"{cell.row.id}, {shown.figures[f.name].words}: paper {f.paper:.1f}, ours {_ours(f)}"
        for _, cells in _by_group(found)
        for cell in cells
        for f in cell.disagreements
    ]


def _problems(found: Replication) -> list[str]:
    reasons: Sequence[tuple[Cell, str]] = [(c, why) for c in found.cells for why in (c.diverged, c.failed) if why]
    return [f"{cell.row.id}: {line(why)}" for cell, why in reasons]


def _left(found: Replication) -> list[str]:
    """What the budget left undone."""
    there = sum(not cell.unmade for cell in found.cells)
    if there == len(found.cells):
        return []
    return [f"{there} of {len(found.cells)} rows are made; run the same command again for the others"]
