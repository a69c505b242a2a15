"""The figure of a map: its states as colours, and under them what each tool read, with the contour at its threshold."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.mapping.grid import Axis, ordered
from capbench.mapping.places import Map, Outcome
from capbench.report.style import style
from capbench.verdicts.tools import Toolbox

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colour-blind safe (Okabe and Ito), and each with a letter, so that nothing hangs on colour.
STATES = {
    "intact": ("#56b4e9", "I"),
    "wrapped": ("#e69f00", "W"),
    "deleted": ("#0072b2", "D"),
    "destroyed": ("#888888", "X"),
    "undecided": ("#f0e9d2", "?"),
}


def draw(shown: Map, toolbox: Toolbox, file: Path) -> None:
    """Write the figure, as .svg or .png by its name."""
    from matplotlib.figure import Figure

    tools = [tool for tool in shown.tools if any(_value(o, tool) is not None for o in shown.outcomes)]
    columns = 3
    rows = 2 + math.ceil(len(tools) / columns)
    with style():
        whole = Figure(figsize=(3.4 * columns, 2.6 * rows), layout="constrained")
        places = whole.add_gridspec(rows, columns)
        _states(whole.add_subplot(places[:2, :]), shown)
        thresholds = {tool.name: tool.present for tool in toolbox.tools}
        for i, tool in enumerate(tools):
            _tool(whole.add_subplot(places[2 + i // columns, i % columns]), shown, tool, thresholds.get(tool))
        whole.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _states(axes: Axes, shown: Map) -> None:
    for outcome in shown.outcomes:
        x, y, width, height = _cell(shown, outcome)
        colour, letter = STATES.get(outcome.shown, ("#ffffff", outcome.shown))
        _rectangle(axes, x, y, width, height, colour)
        seeds = "".join(STATES[str(state)][1] for state in outcome.per_seed.values())
        words = seeds if len(seeds) > 1 else letter
        dark = outcome.shown == "deleted"
        axes.text(x + width / 2, y + height / 2, words, ha="center", va="center", color="white" if dark else "black")
    there = {outcome.shown for outcome in shown.outcomes} | {
        str(s) for o in shown.outcomes for s in o.per_seed.values()
    }
    words = ", ".join(f"{letter} {state}" for state, (_, letter) in STATES.items() if state in there)
    axes.set_title(f"State ({words}; several letters: one for each seed)")
    _ticks(axes, shown)


def _tool(axes: Axes, shown: Map, tool: str, threshold: float | None) -> None:
    values = {outcome.place: _value(outcome, tool) for outcome in shown.outcomes}
    known = [value for value in values.values() if value is not None]
    low, high = min(known), max(known)
    for outcome in shown.outcomes:
        x, y, width, height = _cell(shown, outcome)
        value = values[outcome.place]
        shade = 0.0 if value is None or high == low else (value - low) / (high - low)
        _rectangle(axes, x, y, width, height, "white" if value is None else _shade(shade))
        bound = next((e.bound for e in outcome.evidence if e.tool == tool), "")
        sign = {">=": "≥", "<=": "≤"}.get(bound, "")
        words = "–" if value is None else f"{sign}{value:.2f}" if abs(value) < 10 else f"{sign}{value:.0f}"
        axes.text(x + width / 2, y + height / 2, words, ha="center", va="center", fontsize=7)
    if threshold is not None:
        _contour(axes, shown, values, threshold)
    unit = next((e.unit for o in shown.outcomes if (e := o.read(tool))), "")
    axes.set_title(tool + (f" ({unit})" if unit else "") + (f"; line: {threshold:g}" if threshold is not None else ""))
    _ticks(axes, shown)


def _contour(axes: Axes, shown: Map, values: dict[Any, float | None], threshold: float) -> None:
    """The line at the threshold between places of the coarse grid whose values are known."""
    grid = [[values.get((right, up)) for right in shown.x.values] for up in shown.y.values]
    known = [value for line in grid for value in line if value is not None]
    if len(grid) < 2 or not known or not min(known) < threshold < max(known):
        return
    numbers = [[math.nan if value is None else value for value in line] for line in grid]
    rows, columns = _positions(shown, shown.y), _positions(shown, shown.x)
    at = ([columns[v] + 0.5 for v in shown.x.values], [rows[v] + 0.5 for v in shown.y.values])
    axes.contour(*at, numbers, levels=[threshold], colors="black", linewidths=1.2)


def _positions(shown: Map, axis: Axis) -> dict[Any, float]:
    """Where each value's column or row begins: equally wide, those that came in between among them."""
    index = 0 if axis is shown.x else 1
    values = ordered(axis, {outcome.place[index] for outcome in shown.outcomes} | set(axis.values))
    return {value: float(i) for i, value in enumerate(values)}


def _cell(shown: Map, outcome: Outcome) -> tuple[float, float, float, float]:
    return _positions(shown, shown.x)[outcome.place[0]], _positions(shown, shown.y)[outcome.place[1]], 1.0, 1.0


def _rectangle(axes: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), width, height, facecolor=colour, edgecolor="white", linewidth=1))


def _shade(share: float) -> str:
    """From white to a blue on which black is still read."""
    ends = ((255, 255, 255), (115, 170, 220))
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(*ends, strict=True))


def _ticks(axes: Axes, shown: Map) -> None:
    for axis, name in ((shown.x, "x"), (shown.y, "y")):
        places = _positions(shown, axis)
        at, words = [place + 0.5 for place in places.values()], [f"{v:g}" if axis.numbers else str(v) for v in places]
        getattr(axes, f"set_{name}ticks")(at, words)
        getattr(axes, f"set_{name}lim")(0, len(places))
        getattr(axes, f"set_{name}label")(axis.name)
    axes.grid(False)


def _value(outcome: Outcome, tool: str) -> float | None:
    found = outcome.read(tool)
    return None if found is None else found.value
