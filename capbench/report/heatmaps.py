"""Heat maps for a notebook: a row of grids as one figure, every row and column labelled as long as the labels are legible."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capbench.report.maps import Map, MapRow, short
from capbench.report.style import style, wrapped
from capbench.report.words import line as one_line
from capbench.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths are inches, computed here rather than by matplotlib so that all cells of a row have one size.
WIDTH = 12.3  # of a full row: as wide as the page
LEAST = 3.5  # of a row with a single small map: its title needs space
CELLS = (0.1, 0.18)  # width of a cell: minimum (below it the row is broken) and maximum
COUNTED = "models"  # the unit of maps of counts: their cells are larger and show the numbers
LARGE = 0.5
TALLEST = 7.0  # of the cells of one map
FONT = (4.5, 7.5)  # size of a label in points: below the minimum, only every second, third … label is written
LETTER = 0.62 / 72  # width of a letter per point of its size
TITLE = 0.14  # height of a line of a title
AXIS = 0.27  # from the cells to the end of an axis title, without the labels in between
GAP = 0.2  # between two maps
BAR = (0.12, 0.75, 2.0)  # the colour bar: its width, its width with numbers, and its maximum height
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"  # even steps of lightness; for values of both signs, with white at zero


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the maps of a row lie. Every map gets the same place, with its cells at the upper right."""

    columns: int
    cell: tuple[float, float]  # width and height
    cells: tuple[float, float]  # of the largest map
    left: float  # space beside the cells, for labels
    above: float  # for a map's title
    below: float
    head: float  # for the row's title

    @property
    def place(self) -> tuple[float, float]:
        return self.left + self.cells[0] + GAP, self.above + self.cells[1] + self.below


def draw(row: MapRow) -> Figure:
    """One row of maps."""
    with style():
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure

        low, high = limits(row)
        look: dict[str, Any] = {"norm": Normalize(low, high), "cmap": DIVERGING if low < 0 else SEQUENTIAL}
        layout = lay_out(row)
        width = max(LEAST, layout.columns * layout.place[0] + BAR[1])
        height = layout.head + -(-len(row.maps) // layout.columns) * layout.place[1]
        figure = Figure(figsize=(width, height))
        for i, item in enumerate(row.maps):
            left = i % layout.columns * layout.place[0] + layout.left
            top = layout.head + i // layout.columns * layout.place[1] + layout.above
            size = len(item.grid.columns) * layout.cell[0], len(item.grid.rows) * layout.cell[1]
            _map(_axes(figure, left, top, size), item, layout, look, counted=row.unit == COUNTED)
        left, top = layout.columns * layout.place[0], layout.head + layout.above
        bar = _axes(figure, left, top, (BAR[0], min(BAR[2], layout.cells[1] + layout.below / 2)))
        figure.colorbar(ScalarMappable(**look), cax=bar).set_label(one_line(row.unit))
        bar.grid(False)
        figure.text(0.05 / width, 1 - 0.05 / height, _heading(row), va="top", fontweight="bold")
        return figure


def limits(row: MapRow) -> tuple[float, float]:
    """The colour scale of a whole row: from zero up, or symmetric about zero where there are negative values."""
    values = [value for item in row.maps for line in item.grid.values for value in line]
    most = max(map(abs, values)) or 1.0
    return (-most if min(values) < 0 else 0.0), most


def lay_out(row: MapRow) -> Layout:
    """As many maps side by side as keep labels legible; an even number, so that pairs of before and after stay together."""
    grids = [item.grid for item in row.maps]
    across, down = max(len(grid.columns) for grid in grids), max(len(grid.rows) for grid in grids)
    left, below = (
        AXIS + max(len(short(label)) for labels in axis for label in labels) * FONT[1] * LETTER
        for axis in ([grid.rows for grid in grids], [grid.columns for grid in grids])
    )
    room = WIDTH - BAR[1]
    fitting = int(room / (left + GAP + across * CELLS[0]))
    columns = len(grids) if len(grids) <= fitting else max(1, fitting - fitting % 2)
    wide = min(LARGE if row.unit == COUNTED else CELLS[1], (room / columns - left - GAP) / across)
    tall = min(wide, TALLEST / down)
    titles = max(_title(item, left + wide * across).count("\n") + 1 for item in row.maps)
    return Layout(
        columns=columns,
        cell=(wide, tall),
        cells=(wide * across, tall * down),
        left=left,
        above=titles * TITLE + 0.1,
        below=below + 0.08,
        head=(_heading(row).count("\n") + 1) * TITLE + 0.1,
    )


def _map(axes: Axes, item: Map, layout: Layout, look: dict[str, Any], *, counted: bool) -> None:
    grid = item.grid
    axes.imshow(grid.values, aspect="auto", interpolation="nearest", **look)
    axes.grid(False)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set(visible=True, linewidth=0.4)
    start = -layout.left / (len(grid.columns) * layout.cell[0])  # above the labels too
    axes.set_title(_title(item, layout.left + layout.cells[0]), loc="left", x=start, pad=4)
    for axis, labels, name, cell in (
        (axes.xaxis, grid.columns, grid.column_label, layout.cell[0]),
        (axes.yaxis, grid.rows, grid.row_label, layout.cell[1]),
    ):
        size, every = _font(cell)
        axis.set_ticks(range(0, len(labels), every), labels=[short(label) for label in labels[::every]])
        axis.set_tick_params(labelsize=size)
        axis.set_label_text(one_line(name))
    if counted:
        middle = look["norm"].vmax / 2
        for i, values in enumerate(grid.values):
            for j, value in enumerate(values):
                colour = "black" if look["cmap"] == DIVERGING or value > middle else "white"
                axes.text(j, i, number(value, unit=COUNTED), ha="center", va="center", color=colour)
    for tick in axes.get_xticklabels():
        if len(tick.get_text()) * _font(layout.cell[0])[0] * LETTER > layout.cell[0]:
            tick.set_rotation(90)  # only a long one among short ones, such as BOS


def _font(cell: float) -> tuple[float, int]:
    """Size in points of the labels of cells of this size, and how many cells share one label."""
    fitting = 0.78 * cell * 72
    every = max(1, math.ceil(FONT[0] / fitting))
    return min(FONT[1], fitting * every), every


def _axes(figure: Figure, left: float, top: float, size: tuple[float, float]) -> Axes:
    """Axes whose upper left corner is this many inches from the figure's."""
    width, height = figure.get_size_inches()
    return figure.add_axes((left / width, 1 - (top + size[1]) / height, size[0] / width, size[1] / height))


def _heading(row: MapRow) -> str:
    return wrapped(row.title, 60 if len(row.maps) == 1 else 110)


def _title(item: Map, width: float) -> str:
    return wrapped(item.title, max(12, int(width / 0.062)))
