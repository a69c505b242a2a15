"""Heat maps: the cells are an image of one pixel each, stretched by the browser; labels are text."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

from markupsafe import Markup, escape

from capbench.report.charts.lines import flat
from capbench.report.maps import Map, MapRow, short
from capbench.report.words import COUNTED, number
from capbench.report.words import line as one_line

CELL, WIDEST, TALLEST = (4.0, 15.0), 270.0, 420.0  # pixels: of a cell, least and most; of the cells of a map
LARGE = 46.0  # a cell that shows its number
LETTER = 5.2  # width of a label's letter
LEGIBLE = 8.5  # pixels that a label needs
# Even steps of lightness (viridis), and for values of both signs RdBu, white at zero: both for all kinds of colour vision.
SEQUENTIAL = ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")
DIVERGING = ("2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b")


@dataclass(frozen=True, kw_only=True)
class DrawnRow:
    """The maps of one case: title, drawings with a title each, and the ends of the colour scale they share."""

    title: str
    maps: tuple[tuple[str, Markup], ...]
    low: str
    high: str
    unit: str
    diverging: bool


def draw(row: MapRow) -> DrawnRow:
    """One row of maps on one colour scale: from zero up, or symmetric about zero where there are negative values."""
    values = [value for item in row.maps for line in item.grid.values for value in line]
    most = max(map(abs, values)) or 1.0
    low = -most if min(values) < 0 else 0.0
    return DrawnRow(
        title=flat(row.title),
        maps=tuple((flat(item.title), _svg(item, low, most, row.unit)) for item in row.maps),
        low=number(low),
        high=number(most),
        unit=one_line(row.unit),
        diverging=low < 0,
    )


def _svg(item: Map, low: float, high: float, unit: str) -> Markup:
    grid = item.grid
    across, down = len(grid.columns), len(grid.rows)
    counted = unit == "models"
    cell = LARGE if counted else max(CELL[0], min(CELL[1], WIDEST / across, TALLEST / down))
    rows, columns = [short(name) for name in grid.rows], [short(name) for name in grid.columns]
    left = 16 + LETTER * max(map(len, rows))
    upright = max(map(len, columns)) * LETTER <= cell + 1
    width, height = cell * across, cell * down
    below = 26 + (10 if upright else LETTER * max(map(len, columns)))
    alt = f"{flat(item.title)}: {down} rows ({one_line(grid.row_label)}) by {across} columns ({one_line(grid.column_label)})"
    head = Markup('<svg class="chart map" viewBox="0 0 {:.0f} {:.0f}" width="{:.0f}" role="img" aria-label="{}">')
    image = '<image x="{:.1f}" y="2" width="{:.1f}" height="{:.1f}" preserveAspectRatio="none" href="data:image/png;base64,{}"/>'
    parts = [
        head.format(left + width + 8, height + below, left + width + 8, alt),
        Markup(image).format(left, width, height, _png(item, low, high)),
    ]
    every = max(1, math.ceil(LEGIBLE / cell))
    for i in range(0, down, every):
        parts.append(_text(left - 3, 2 + cell * (i + 0.5) + 3, rows[i], "end"))
    for j in range(0, across, every):
        x, y = left + cell * (j + 0.5), height + 12
        parts.append(_text(x, y, columns[j], "middle") if upright else _turned(x + 3, y - 6, columns[j]))
    parts.append(_text(left + width / 2, height + below - 4, one_line(grid.column_label), "middle", "name"))
    parts.append(_turned(9, 2 + height / 2, one_line(grid.row_label), "middle", "name"))
    if counted:
        for i, line in enumerate(grid.values):
            for j, value in enumerate(line):
                kind = "on-light" if value > high / 2 else "on-dark"
                place = left + cell * (j + 0.5), 2 + cell * (i + 0.5) + 4
                parts.append(_text(*place, number(value, unit=unit if unit in COUNTED else ""), "middle", kind))
    return Markup("").join([*parts, Markup("</svg>")])


def _png(item: Map, low: float, high: float) -> str:
    """The cells, one pixel each, as base64."""
    import numpy as np
    from PIL import Image

    stops = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in (DIVERGING if low < 0 else SEQUENTIAL)])
    at = (np.array(item.grid.values, dtype=float) - low) / (high - low) * (len(stops) - 1)
    pixels = np.stack([np.interp(at, range(len(stops)), stops[:, i]) for i in range(3)], axis=-1)
    out = io.BytesIO()
    Image.fromarray(np.rint(pixels).astype(np.uint8)).save(out, format="png", optimize=True)
    return base64.b64encode(out.getvalue()).decode("ascii")


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> Markup:
    form = '<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
    return Markup(form).format(kind, x, y, anchor, escape(text))


def _turned(x: float, y: float, text: str, anchor: str = "end", kind: str = "label") -> Markup:
    form = '<text class="{}" transform="translate({:.1f} {:.1f}) rotate(-90)" text-anchor="{}">{}</text>'
    return Markup(form).format(kind, x, y, anchor, escape(text))
