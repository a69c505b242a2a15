"""Figures for a notebook, drawn through matplotlib's object interface: curves here, maps in `heatmaps`."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from capbench.report.panels import Line, Panel, Sheet, mean
from capbench.report.style import style, wrapped
from capbench.report.words import line as one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette for all kinds of colour vision; yellow is omitted (too faint for lines on white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")  # the next style once all colours are used
MARKERS = "osD^vPX"
PANELS = {1: (5.6, 2.6), 2: (4.6, 2.4), 3: (3.8, 2.2), 4: (2.9, 2.1)}  # columns -> width and height in inches
MARKED = 12  # lines with at most this many points mark them


def draw(sheet: Sheet) -> Figure:
    """One sheet of curves."""
    with style():
        from matplotlib.figure import Figure

        blocks = _blocks(sheet.panels)
        columns = min(max(PANELS), max(len(block) for block in blocks))
        panel_width, panel_height = PANELS[columns]
        rows = sum(-(-len(block) // columns) for block in blocks)
        looks = _looks(sheet.panels)
        width = panel_width * columns
        legend_columns = _legend_columns(list(looks), width)
        legend_rows = -(-len(looks) // legend_columns)
        titles = max(_title(panel).count("\n") for panel in sheet.panels) + 1
        height = rows * (panel_height + 0.13 * titles) + 0.2 * legend_rows + 0.2
        figure = Figure(figsize=(width, height))
        figure.set_layout_engine("constrained", h_pad=0.07, w_pad=0.06)
        _lay_out(figure, blocks, columns, rows, looks, log=sheet.group == "revival")
        figure.legend(
            handles=_handles(looks), loc="outside upper left", ncols=legend_columns, frameon=False, handlelength=3
        )
        return figure


def _blocks(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels with the same axes form a block: they share limits and start on a new row."""
    blocks: dict[tuple[str, str], list[Panel]] = {}
    for panel in panels:
        blocks.setdefault((panel.y_label, panel.x_label), []).append(panel)
    return list(blocks.values())


def _looks(panels: Sequence[Panel]) -> dict[str, dict[str, Any]]:
    """Colour, dash and marker by series, the same in every panel."""
    longest: dict[str, int] = {}
    for line in (line for panel in panels for line in panel.lines):
        longest[line.series] = max(longest.get(line.series, 0), *(len(curve.x) for curve in line.curves))
    return {
        name: {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
            "marker": MARKERS[i % len(MARKERS)] if points <= MARKED else None,
        }
        for i, (name, points) in enumerate(longest.items())
    }


def _lay_out(
    figure: Figure,
    blocks: Sequence[Sequence[Panel]],
    columns: int,
    rows: int,
    looks: dict[str, dict[str, Any]],
    *,
    log: bool,
) -> None:
    grid = figure.add_gridspec(rows, columns)
    top = 0
    for block in blocks:
        first: Axes | None = None
        for i, panel in enumerate(block):
            axes = figure.add_subplot(grid[top + i // columns, i % columns], sharex=first, sharey=first)
            first = first or axes
            for line in panel.lines:
                _line(axes, line, looks[line.series])
            axes.set_title(_title(panel), loc="left")
            if i % columns == 0:
                axes.set_ylabel(textwrap.fill(one_line(panel.y_label), 30))
            if i + columns >= len(block):
                axes.set_xlabel(textwrap.fill(one_line(panel.x_label), 42))
        assert first is not None
        _scales(first, block, log=log)
        top += -(-len(block) // columns)


def _line(axes: Axes, line: Line, look: dict[str, Any]) -> None:
    if len(line.curves) > 1:
        for curve in line.curves:
            y = [float("nan") if value is None else value for value in curve.y]
            axes.plot(curve.x, y, **{**look, "marker": None}, linewidth=0.7, alpha=0.45)
    x, means = mean(line.curves)
    y = [float("nan") if value is None else value for value in means]
    axes.plot(x, y, **look, linewidth=1.7)


def _scales(axes: Axes, block: Sequence[Panel], *, log: bool) -> None:
    """Limits and ticks for a block: accuracy from 0 to 1, counts on whole numbers, geometric grids on a log axis.

    log: that axis for any grid; some models revive in tens of steps, others in thousands.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    curves = [curve for panel in block for line in panel.lines for curve in line.curves]
    xs = sorted({x for curve in curves for x in curve.x})
    ys = [y for curve in curves for y in curve.y if y is not None]
    if "accuracy" in block[0].y_label.lower() and all(0 <= y <= 1 for y in ys):
        axes.set_ylim(-0.03, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "", "0.5", "", "1"])
    if _is_geometric(xs) or (log and len(xs) > 2 and xs[0] >= 0):
        least = min(x for x in xs if x > 0)
        axes.set_xscale("symlog", linthresh=least, linscale=0.4)
        axes.set_xlim(-0.2 * least if xs[0] == 0 else 0.9 * least, 1.15 * xs[-1])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.minorticks_off()
    elif xs:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=all(x == int(x) for x in xs), min_n_ticks=1))


def _is_geometric(xs: Sequence[float]) -> bool:
    """Whether points crowd near zero, as 0, 1, 2, 5, 10, 20, 50 do and 0, 100, 200, 300 do not."""
    return len(xs) >= 5 and xs[0] >= 0 and statistics.median(xs) < 0.25 * xs[-1]


def _title(panel: Panel) -> str:
    return wrapped(panel.title, 42)


def _legend_columns(names: Sequence[str], width: float) -> int:
    """As many columns as fit: about 0.075 inches a character and 0.75 around it."""
    widest = max(len(name) for name in names)
    fitting = max(1, min(len(names), int(width / (0.075 * widest + 0.75))))
    rows = -(-len(names) // fitting)
    return -(-len(names) // rows)


def _handles(looks: dict[str, dict[str, Any]]) -> list[Any]:
    from matplotlib.lines import Line2D

    # matplotlib omits labels that begin with '_' from legends, so a space goes first
    return [Line2D([], [], linewidth=1.7, label=f" {one_line(name)}", **look) for name, look in looks.items()]
