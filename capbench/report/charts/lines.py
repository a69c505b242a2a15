"""Panels of lines: mean, range over seeds as a band, thresholds, and labels at the ends of the lines in place of a legend."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from capbench.report.charts.axis import Axis, like_lengths, steps_axis, values_axis
from capbench.report.panels import Line, Panel, Sheet, mean
from capbench.report.words import line as one_line
from capbench.report.words import number
from capbench.verdicts.tools import GONE, KEPT

WIDTH, HEIGHT = 410, 236
LEFT, RIGHT, TOP, BOTTOM = 40, 142, 10, 36
LETTERS, ROW = 22, 10.5  # of a label: letters in a line, pixels between lines
COLOURS, DASHES = 7, ("", "5 3", "1.5 2.5")  # the page's stylesheet has as many colours
Point = tuple[float, float]
Points = list[Point]
Place = Callable[[Point], Point]  # from values to pixels
# The thresholds of a group's accuracies, with their names: of the behaviour, and of a revival.
MARKS = {
    "fine-tuning": ((KEPT, "kept"), (GONE, "gone")),
    "revival": ((0.95, "95 %"),),
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A panel as the page shows it. title: its case; about: the model and method, where panels differ in them."""

    title: str
    about: str
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class Block:
    """Panels of the same quantities. title: what is drawn by what."""

    title: str
    panels: tuple[Drawn, ...]


def flat(title: str) -> str:
    """A title of several lines on one."""
    return " · ".join(one_line(part) for part in title.split("\n"))


def draw(sheet: Sheet) -> list[Block]:
    """Every panel of a sheet. Panels of like size and the same labels share their axes; a line looks the same in all."""
    series = list(dict.fromkeys(line.series for panel in sheet.panels for line in panel.lines))
    looks = {name: (i % COLOURS, DASHES[i // COLOURS % len(DASHES)]) for i, name in enumerate(series)}
    axes = _axes(sheet)
    blocks: dict[str, list[Drawn]] = {}
    for panel, of in zip(sheet.panels, axes, strict=True):
        title = f"{one_line(panel.y_label)} by {one_line(panel.x_label)}"
        svg = _svg(panel, *of, looks, _marks(sheet.group, panel))
        blocks.setdefault(title, []).append(_titled(panel.title, svg))
    return [Block(title=title, panels=tuple(panels)) for title, panels in blocks.items()]


def _titled(title: str, svg: Markup) -> Drawn:
    case, *about = (one_line(part) for part in title.split("\n"))  # as `panels.naming` has them
    return Drawn(title=case, about=" · ".join(about), svg=svg)


def _axes(sheet: Sheet) -> list[tuple[Axis, Axis]]:
    kinds: dict[tuple[str, str], list[int]] = {}
    for i, panel in enumerate(sheet.panels):
        kinds.setdefault((panel.x_label, panel.y_label), []).append(i)
    found: dict[int, tuple[Axis, Axis]] = {}
    for members in kinds.values():
        lengths = like_lengths([max(_xs(sheet.panels[i]), default=0.0) for i in members])
        heights = like_lengths([max(map(abs, _ys(sheet.panels[i])), default=0.0) for i in members])
        sizes = list(zip(lengths, heights, strict=True))
        for size in sorted(set(sizes)):
            alike = [i for i, of in zip(members, sizes, strict=True) if of == size]
            panels = [sheet.panels[i] for i in alike]
            xs = [x for panel in panels for x in _xs(panel)]
            ys = [y for panel in panels for y in _ys(panel)]
            marked = [value for panel in panels for value, _ in _marks(sheet.group, panel)]
            log = sheet.group == "revival"
            pair = steps_axis(xs or [0.0], log=log), values_axis(ys, panels[0].y_label, marked)
            found |= dict.fromkeys(alike, pair)
    return [found[i] for i in range(len(sheet.panels))]


def _marks(group: str, panel: Panel) -> Sequence[tuple[float, str]]:
    return MARKS.get(group, ()) if "accuracy" in panel.y_label.lower() else ()


def _xs(panel: Panel) -> list[float]:
    return [x for line in panel.lines for curve in line.curves for x in curve.x]


def _ys(panel: Panel) -> list[float]:
    return [y for line in panel.lines for curve in line.curves for y in curve.y if y is not None]


def _svg(
    panel: Panel, x: Axis, y: Axis, looks: dict[str, tuple[int, str]], marks: Sequence[tuple[float, str]]
) -> Markup:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def at(point: Point) -> Point:
        return LEFT + x.at(point[0]) * (right - LEFT), bottom - y.at(point[1]) * (bottom - TOP)

    down = [round(at((x.low, value))[1], 1) for value in y.ticks()]
    across = [round(at((value, y.low))[0], 1) for value in x.ticks()]
    parts = [
        Markup('<path class="rule" d="{}"/>').format("".join(f"M{LEFT} {of:g}H{right}" for of in down)),
        Markup('<path class="base" d="M{} {}H{}{}"/>').format(
            LEFT, bottom, right, "".join(f"M{of:g} {bottom}v4" for of in across)
        ),
        _group("end", [(LEFT - 5, of + 3, _tick(value)) for of, value in zip(down, y.ticks(), strict=True)]),
        _group(
            "middle",
            [
                *((of, bottom + 14, _tick(value)) for of, value in zip(across, x.ticks(), strict=True)),
                ((LEFT + right) / 2, HEIGHT - 6, one_line(panel.x_label)),
            ],
        ),
    ]
    for value, name in marks:
        if y.low <= value <= y.high:
            _, height = at((x.low, value))
            parts.append(Markup('<path class="limit" d="M{} {:.1f}H{}"/>').format(LEFT, height, right))
            parts.append(_group("limit-name", [(LEFT + 3, height - 2.5, name)]))
    ends = []
    for line in panel.lines:
        colour, dash = looks[line.series]
        parts += _line(line, at, colour, dash)
        if (end := _end(line)) is not None:
            ends.append((at(end)[1], line.series, colour, dash))
    labels, top = _labels(ends)
    box = Markup('<svg class="chart" viewBox="0 {:.0f} {} {:.0f}" role="img" aria-label="{}">')
    head = box.format(top, WIDTH, HEIGHT - top, _alt(panel))
    return Markup("").join([head, *parts, *labels, Markup("</svg>")])


def _line(line: Line, place: Place, colour: int, dash: str) -> list[Markup]:
    """The band of all runs, the mean, and single runs thin where they do not all have the same points."""
    xs, means = mean(line.curves)
    parts = []
    known = [dict(zip(curve.x, curve.y, strict=True)) for curve in line.curves]
    if len(line.curves) > 1:
        several = [(x, [of[x] for of in known]) for x in xs]
        edges = [(x, [v for v in values if v is not None]) for x, values in several if None not in values]
        if len(edges) > 1:
            outline = [(x, max(v)) for x, v in edges] + [(x, min(v)) for x, v in reversed(edges)]
            parts.append(Markup('<path class="band c{}" d="{}Z"/>').format(colour, _path([place(p) for p in outline])))
        if len({curve.x for curve in line.curves}) > 1:
            for curve in line.curves:
                parts += [
                    Markup('<path class="run c{}" d="{}"/>').format(colour, _path([place(p) for p in part]))
                    for part in _parts(list(curve.x), list(curve.y))
                ]
    style = Markup(' stroke-dasharray="{}"').format(dash) if dash else Markup("")
    for part in _parts(xs, means):
        if len(part) == 1:
            across, down = place(part[0])
            parts.append(
                Markup('<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="2.5"/>').format(colour, across, down)
            )
        else:
            path = _path([place(p) for p in part])
            parts.append(Markup('<path class="mean c{}"{} d="{}"/>').format(colour, style, path))
    return parts


def _parts(xs: Sequence[float], ys: Sequence[float | None]) -> list[Points]:
    """The stretches of a line: it breaks where there is no value."""
    found: list[Points] = [[]]
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            found.append([])
        else:
            found[-1].append((x, y))
    return [part for part in found if part]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " ".join(f"{round(x, 1):g} {round(y, 1):g}" for x, y in points)


def _end(line: Line) -> tuple[float, float] | None:
    """Where a line ends: its last mean, else the last value of its longest run."""
    xs, means = mean(line.curves)
    known = [(x, y) for x, y in zip(xs, means, strict=True) if y is not None]
    runs = [(x, y) for curve in line.curves for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
    return known[-1] if known else max(runs, default=None)


def _labels(ends: Sequence[tuple[float, str, int, str]]) -> tuple[list[Markup], float]:
    """The lines' names at the right, each as near to its line's end as the others allow, with a stroke of the line.

    Also how far up they reach, 0 or, if there are too many, less.
    """
    named = [
        (down, textwrap.wrap(one_line(name), LETTERS)[:2] or [""], colour, dash) for down, name, colour, dash in ends
    ]
    named.sort(key=lambda each: each[0])
    heights = [ROW * len(rows) + 2 for _, rows, _, _ in named]
    tops, free = [], 0.0
    for (down, *_), height in zip(named, heights, strict=True):  # downwards: none begins before the last one's end
        tops.append(max(free, down - height / 2))
        free = tops[-1] + height
    limit = HEIGHT - BOTTOM + 8.0  # beside the last mark of the axis, not on it
    for i in reversed(range(len(tops))):  # upwards: none ends below the drawing
        tops[i] = min(tops[i], limit - heights[i])
        limit = tops[i]
    parts = []
    left = WIDTH - RIGHT
    for top, (down, rows, colour, dash) in zip(tops, named, strict=True):
        middle = top + ROW * len(rows) / 2
        style = Markup(' stroke-dasharray="{}"').format(dash) if dash else Markup("")
        if abs(down - middle) > 3:
            parts.append(
                Markup('<path class="lead" d="M{} {:.1f}L{} {:.1f}"/>').format(left + 2, down, left + 8, middle)
            )
        parts.append(Markup('<path class="mean c{}"{} d="M{} {:.1f}h12"/>').format(colour, style, left + 8, middle))
        parts.append(_group("", [(left + 23, top + ROW * (n + 1) - 2, row) for n, row in enumerate(rows)]))
    return parts, min(0.0, *tops, 0.0)


def _group(kind: str, texts: Sequence[tuple[float, float, str]]) -> Markup:
    """Texts of one kind, each with its place."""
    form = Markup('<text x="{:g}" y="{:g}">{}</text>')
    inside = Markup("").join(form.format(round(x, 1), round(y, 1), escape(text)) for x, y, text in texts)
    return Markup('<g class="{}">{}</g>').format(kind, inside) if kind else inside


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}") if abs(value) < 10_000 else f"{value / 1000:g}k"


def _alt(panel: Panel) -> str:
    """The title, the axes, and where each line begins and ends."""
    said = []
    for line in panel.lines:
        _, means = mean(line.curves)
        known = [y for y in means if y is not None]
        fate = f"from {number(known[0])} to {number(known[-1])}" if known else "no value that all runs have"
        said.append(f"{one_line(line.series)} {fate}")
    return f"{flat(panel.title)}. {one_line(panel.y_label)} by {one_line(panel.x_label)}: {'; '.join(said)}."
