"""A leaderboard as text for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from capbench.compare.leaderboard.standings import Case, Cell, Leaderboard, Score
from capbench.report.markdown import escape, table
from capbench.report.terminal import GAP, WIDTH, fold, table_width, tabulated
from capbench.report.words import DASH, interval, line, number
from capbench.results import CapabilityState, CollateralState, FinetunedState, to_dict
from capbench.verdicts.tools import BEHAVIOUR

# Of a leaderboard as JSON; schema 1 averaged over cases and had no intervals, 1 and 2 had no learned, hidden and spared.
SCHEMA = 3
CASE = 22  # columns of a terminal for the name of a case before it is folded
METHOD = 28


@dataclass(frozen=True, kw_only=True)
class Table:
    """Text cells with a title; the first column names methods, the others hold what is told of them."""

    title: str
    head: list[str]
    rows: list[list[str]]


def to_text(found: Leaderboard) -> str:
    """Several tables, none wider than a terminal."""
    parts = [f"methods at scale {line(found.scale)}"]
    parts += [_text(part) for each in tables(found) for part in _parts(each)]
    return "\n\n".join([*parts, *(["\n".join(map(line, found.notes))] if found.notes else [])])


def to_markdown(found: Leaderboard) -> str:
    parts = [f"# capbench: methods at scale {escape(found.scale)}"]
    for each in tables(found):
        parts += [f"## {escape(each.title)}", table(each.head, each.rows, numbers_from=1)]
    parts.append("\n".join(f"- {escape(note)}" for note in found.notes))
    return "\n\n".join(filter(None, parts)) + "\n"


def to_json(found: Leaderboard) -> str:
    return json.dumps({"schema": SCHEMA, **to_dict(found)}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


FORMATS = {"text": to_text, "markdown": to_markdown, "json": to_json}


def tables(found: Leaderboard) -> Iterator[Table]:
    """Counts of states, the summary, and for each tool what it measured case by case: unlike cases are never averaged."""
    yield from (_states(found), _ends(found), _summary(found))
    tools = {name for row in found.standings for case in row.cases for name in case.tools}
    for tool in sorted(tools, key=lambda name: (name != BEHAVIOUR, name)):
        yield _tool(found, tool)


def _states(found: Leaderboard) -> Table:
    states, collateral = [str(s) for s in CapabilityState], [str(s) for s in CollateralState]
    rows = [
        [line(row.method), *map(str, [row.models, *(row.verdicts[s] for s in states)])]
        + [str(row.collateral[s]) if any(row.collateral.values()) else DASH for s in collateral]
        for row in found.standings
    ]
    title = f"models: what became of the capability, and of all else that they knew ({', '.join(collateral)})"
    return Table(title=title, head=["method", "models", *states, *collateral], rows=rows)


def _ends(found: Leaderboard) -> Table:
    ends = [str(s) for s in FinetunedState]
    rows = [[line(row.method), *(str(row.finetuned[s]) for s in ends)] for row in found.standings]
    return Table(title="models: what became of the fine-tuning task", head=["method", *ends], rows=rows)


def _summary(found: Leaderboard) -> Table:
    head = ["method", "O_PT accuracy", "share deleted", "steps", "tokens", "seconds"]
    rows = [
        [line(row.method), _score(row.accuracy), _score(row.deleted)]
        + [_whole(value) for value in (row.cost.steps, row.cost.tokens, row.cost.seconds)]
        for row in found.standings
    ]
    models = "model" if found.shared == 1 else "models"
    title = (
        f"over the {found.shared} {models} that all were judged on; steps, tokens and seconds of fine-tuning each once"
    )
    return Table(title=title, head=head, rows=rows)


def _tool(found: Leaderboard, tool: str) -> Table:
    names = sorted({case.name for row in found.standings for case in row.cases if tool in case.tools})
    unit = next(case.tools[tool].unit for row in found.standings for case in row.cases if tool in case.tools)
    rows = []
    for row in found.standings:
        by_name = {case.name: case for case in row.cases}
        rows.append([line(row.method), *(_cell(by_name.get(name), tool) for name in names)])
    return Table(title=f"{tool} ({unit})", head=["method", *map(line, names)], rows=rows)


def _cell(case: Case | None, tool: str) -> str:
    """`6.20 [5.10, 7.40]`, with the seeds that have no value; where nothing was lost there is nothing to find."""
    if case is None:
        return DASH
    looks = tool in case.tools
    if not case.lost and (not looks or not case.tools[tool].per_seed):
        return str(CapabilityState.INTACT)
    if not looks:
        return f"{DASH} ({len(case.lost)} missing)"
    return _value(case.tools[tool])


def _value(cell: Cell) -> str:
    words = number(cell.value, unit=cell.unit) + (f" {interval(cell.ci)}" if cell.ci else "")
    return f"{words} ({cell.missing} missing)" if cell.missing else words


def _score(score: Score) -> str:
    return number(score.value) + (f" {interval(score.ci)}" if score.ci else "")


def _whole(value: float | None) -> str:
    return DASH if value is None else f"{value:.0f}"


def _parts(whole: Table) -> Iterator[Table]:
    """The table in as many parts as a terminal's width needs, each with the column of methods."""
    head = [whole.head[0], *(fold(name, CASE) for name in whole.head[1:])]
    rows = [[fold(row[0], METHOD), *row[1:]] for row in whole.rows]
    columns: list[int] = []
    title = whole.title
    for i in range(1, len(head)):
        if columns and _width(head, rows, [0, *columns, i]) > WIDTH:
            yield _only(title, head, rows, columns)
            columns, title = [], f"{whole.title}, continued"
        columns.append(i)
    yield _only(title, head, rows, columns)


def _only(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]) -> Table:
    shown = [0, *columns]
    return Table(title=title, head=[head[i] for i in shown], rows=[[row[i] for i in shown] for row in rows])


def _width(head: Sequence[str], rows: Sequence[Sequence[str]], columns: Sequence[int]) -> int:
    names = [max(head[i].split("\n"), key=len) for i in columns]
    return table_width(names, [[row[i] for i in columns] for row in rows]) if rows else GAP * len(columns)


def _text(shown: Table) -> str:
    return f"{shown.title}\n{tabulated(shown.head, shown.rows, right=range(1, len(shown.head)))}"
