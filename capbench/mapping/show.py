"""A map as text for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from capbench.errors import CapbenchError
from capbench.mapping.figure import draw
from capbench.mapping.grid import ordered
from capbench.mapping.places import NOT_YET, Boundary, Map, Outcome
from capbench.report.markdown import escape, facts, table
from capbench.report.words import DASH, line, number
from capbench.report.write import check_directory
from capbench.results import CapabilityState, RunInfo, to_dict
from capbench.store.files import write_whole
from capbench.verdicts.tools import Toolbox

SCHEMA = 1  # of map.json


def write(shown: Map, run: RunInfo, toolbox: Toolbox, directory: Path) -> list[Path]:
    """Write map.json, map.md and map.svg into the directory, each whole or not at all."""
    check_directory(directory)
    files = [directory / f"map{suffix}" for suffix in (".json", ".md", ".svg")]
    try:
        write_whole(files[0], to_json(shown, run))
        write_whole(files[1], to_markdown(shown, run))
        draw(shown, toolbox, files[2])
    except OSError as error:
        raise CapbenchError(f"cannot write '{directory}': {error.strerror or error}") from error
    return files


def to_text(shown: Map, run: RunInfo) -> str:
    """For a terminal: the states, the boundaries, and what stands in place of a state."""
    from tabulate import tabulate

    head, rows = _grid(shown, _state)
    parts = [_title(shown, run), tabulate(rows, headers=head, tablefmt="simple", disable_numparse=True)]
    parts += ["\n".join(found) for found in (_boundaries(shown), _problems(shown), _left(shown)) if found]
    return "\n\n".join(parts)


def to_markdown(shown: Map, run: RunInfo) -> str:
    """The whole of map.md."""
    parts = [
        f"# Map: {escape(_title(shown, run))}",
        "![The map, and what each tool read](map.svg)",
        table(*_grid(shown, _state), numbers_from=99),
    ]
    for title, lines in (("", _left(shown)), ("Boundaries", _boundaries(shown)), ("Without a state", _problems(shown))):
        if lines:
            parts += [*([f"## {title}"] if title else []), "\n".join(f"- {escape(words)}" for words in lines)]
    for tool in shown.tools:
        unit = next(e.unit for o in shown.outcomes if (e := o.read(tool)))
        parts += [f"## {escape(tool)} ({escape(unit)})", table(*_grid(shown, partial(_tool, tool)), numbers_from=1)]
    parts += ["## What else was lost", table(*_grid(shown, _collateral), numbers_from=99)]
    parts += ["## Run", table(["", ""], [list(fact) for fact in facts(run)], numbers_from=2)]
    return "\n\n".join(parts) + "\n"


def to_json(shown: Map, run: RunInfo) -> str:
    """The whole of map.json."""
    document = {
        "schema": SCHEMA,
        "kind": "map",
        "run": to_dict(run),
        "x": to_dict(shown.x),
        "y": to_dict(shown.y),
        "fixed": to_dict(shown.fixed),
        "boundaries": {str(state): to_dict(shown.boundaries(state)) for state in CapabilityState},
        "places": [to_dict(outcome) for outcome in shown.outcomes],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _title(shown: Map, run: RunInfo) -> str:
    fixed = ", ".join(f"{name}={value}" for name, value in shown.fixed.items())
    return f"{shown.x.name} by {shown.y.name} at scale {run.scale}, method {', '.join(run.methods)}; {fixed}"


def _grid(shown: Map, words: Callable[[Outcome], str]) -> tuple[list[str], list[list[str]]]:
    """A column for each value of x, a row for each of y, the highest first."""
    xs = ordered(shown.x, {o.place[0] for o in shown.outcomes})
    ys = ordered(shown.y, {o.place[1] for o in shown.outcomes})
    found = shown.by_place
    head = [f"{shown.y.name} \\ {shown.x.name}", *(_value(x) for x in xs)]
    cells = [[words(found[x, y]) if (x, y) in found else "" for x in xs] for y in reversed(ys)]
    return head, [[_value(y), *row] for y, row in zip(reversed(ys), cells, strict=True)]


def _value(value: float | str) -> str:
    return str(value) if isinstance(value, str | bool) else f"{value:g}"


def _state(outcome: Outcome) -> str:
    """The state; where seeds differ, how many have which."""
    if outcome.state is None or len(outcome.per_seed) == 1:
        return outcome.shown
    states = list(outcome.per_seed.values())
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _tool(tool: str, outcome: Outcome) -> str:
    found = outcome.read(tool)
    if found is None or found.value is None:
        return DASH
    return {">=": "≥ ", "<=": "≤ "}.get(found.bound, "") + number(found.value)


def _collateral(outcome: Outcome) -> str:
    found = outcome.collateral
    return DASH if found is None else f"{found.state}, {found.worst} {number(found.value)}"


def _boundaries(shown: Map) -> list[str]:
    found: list[str] = []
    for state in (CapabilityState.DELETED, CapabilityState.DESTROYED, CapabilityState.WRAPPED):
        found += [_boundary(shown, state, each) for each in shown.boundaries(state)]
    return found


def _boundary(shown: Map, state: CapabilityState, found: Boundary) -> str:
    x, where = shown.x.name, f"{shown.y.name} {_value(found.at)}"
    if found.first is None:
        upto = "" if found.last is None else f", and not at {x} {_value(found.last)}"
        return f"{where}: {state} on some seeds, nowhere on all{upto}"
    begins = f"from {x} {_value(found.first)} on or before"
    if found.last is not None:
        begins = f"begins between {x} {_value(found.last)} and {_value(found.first)}"
    ends = "" if found.beyond is None else f", ends between {_value(found.until or 0)} and {_value(found.beyond)}"
    return f"{where}: {state} {begins}{ends} ({_seeds(found.seeds)})"


def _seeds(n: int) -> str:
    return "one seed" if n == 1 else f"{n} seeds"


def _problems(shown: Map) -> list[str]:
    return [
        f"{shown.x.name} {_value(o.place[0])}, {shown.y.name} {_value(o.place[1])}: {line(o.why)}"
        for o in shown.outcomes
        if o.state is None and o.shown != NOT_YET
    ]


def _left(shown: Map) -> list[str]:
    if not shown.left:
        return []
    there = len(shown.outcomes) - shown.left
    return [f"{there} of {len(shown.outcomes)} places are made; run the same command again for the others"]
