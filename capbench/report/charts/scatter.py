"""Points with their intervals in two respects, each with its name beside it, and the line of those that no other one beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from capbench.report.charts.axis import Axis
from capbench.report.words import interval, number, typeset
from capbench.report.words import line as one_line

WIDTH, HEIGHT = 560, 400
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 44
NEAR = 9.0  # points closer than so many pixels have their names in one label
LETTER, ROW = 5.6, 12.0  # pixels of a letter, and between two lines
LONGEST = 26  # letters of a line of names
Pair = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True, kw_only=True)
class Point:
    """x, y: 0..1, with their intervals. best: whether no other one beats it in both respects."""

    name: str
    x: float
    y: float
    x_ci: Pair | None = None
    y_ci: Pair | None = None
    best: bool = False


def draw(points: Sequence[Point], *, x_label: str, y_label: str, title: str) -> Markup:
    """Both axes from 0 to 1. The points on the line are those that are `best`, in their order."""
    axis = Axis(low=0.0, high=1.0)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def at(x: float, y: float) -> Pair:
        return LEFT + 8 + axis.at(x) * (right - LEFT - 16), bottom - 8 - axis.at(y) * (bottom - TOP - 16)

    ticks = axis.ticks()
    across, down = [at(value, 0)[0] for value in ticks], [at(0, value)[1] for value in ticks]
    parts = [
        Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
            WIDTH, HEIGHT, _alt(points, x_label, y_label, title)
        ),
        _path("rule", "".join(f"M{LEFT} {y:.1f}H{right}" for y in down)),
        _path("rule", "".join(f"M{x:.1f} {TOP}V{bottom}" for x in across)),
        _path("base", f"M{LEFT} {TOP}V{bottom}H{right}"),
        *(_text(x, bottom + 15, f"{value:g}", "middle") for x, value in zip(across, ticks, strict=True)),
        *(_text(LEFT - 6, y + 3.5, f"{value:g}", "end") for y, value in zip(down, ticks, strict=True)),
        _text((LEFT + right) / 2, HEIGHT - 8, x_label, "middle"),
        Markup('<text transform="translate(14 {:.1f}) rotate(-90)" text-anchor="middle">{}</text>').format(
            (TOP + bottom) / 2, y_label
        ),
    ]
    line = [at(p.x, p.y) for p in points if p.best]
    if len(line) > 1:
        parts.append(_path("front", "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)))
    places = [at(p.x, p.y) for p in points]
    for p in points:
        for ends in ([] if p.x_ci is None else [(at(p.x_ci[0], p.y), at(p.x_ci[1], p.y))]) + (
            [] if p.y_ci is None else [(at(p.x, p.y_ci[0]), at(p.x, p.y_ci[1]))]
        ):
            parts.append(_path("ci", "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in ends)))
    form = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="4.5"><title>{}</title></circle>')
    for p, (x, y) in zip(points, places, strict=True):
        parts.append(form.format("point best" if p.best else "point", x, y, _said(p)))
    parts += _names(points, places)
    return Markup("").join([*parts, Markup("</svg>")])


def _names(points: Sequence[Point], places: Sequence[Pair]) -> list[Markup]:
    """One label for points that lie together, where it covers no point and no other label, as far as there is room."""
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    parts = []
    for names, (x, y) in _together(points, places):
        rows = _rows(names)
        wide, tall = LETTER * max(map(len, rows)), ROW * len(rows)
        tries = [
            (left, top)
            for far in (0.0, 12.0, 24.0, 40.0, 60.0)
            for left, top in (
                *((x + 8, y - tall / 2 + shift) for shift in (0.0, -far, far)),
                *((x - 8 - wide, y - tall / 2 + shift) for shift in (0.0, -far, far)),
                *((x - wide / 2, y + side) for side in (8 + far, -8 - tall - far)),
            )
        ]
        fitting = [(left, top, left + wide, top + tall) for left, top in tries if _inside(left, top, wide, tall)]
        box = next((b for b in fitting if not any(_overlap(b, t) for t in taken)), (fitting or [(x, y, x, y)])[0])
        taken.append(box)
        nearest = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
        if math.dist(nearest, (x, y)) > 11:
            parts.append(_path("lead", f"M{x:.1f} {y:.1f}L{nearest[0]:.1f} {nearest[1]:.1f}"))
        parts += [_text(box[0], box[1] + ROW * (i + 1) - 3, row, "start", "of") for i, row in enumerate(rows)]
    return parts


def _together(points: Sequence[Point], places: Sequence[Pair]) -> list[tuple[list[str], Pair]]:
    """The names of points that lie close to the first of them, and its place."""
    found: list[tuple[list[str], Pair]] = []
    for p, place in zip(points, places, strict=True):
        near = next((names for names, other in found if math.dist(place, other) < NEAR), None)
        if near is None:
            found.append(([one_line(p.name)], place))
        else:
            near.append(one_line(p.name))
    return found


def _rows(names: Sequence[str]) -> list[str]:
    rows = [""]
    for i, name in enumerate(names):
        word = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        word += "," if i < len(names) - 1 else ""
        if rows[-1] and len(rows[-1]) + len(word) > LONGEST:
            rows.append(word)
        else:
            rows[-1] = f"{rows[-1]} {word}".strip()
    return rows


def _inside(left: float, top: float, wide: float, tall: float) -> bool:
    return left >= LEFT and left + wide <= WIDTH - 2 and top >= 2 and top + tall <= HEIGHT - BOTTOM


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _path(kind: str, d: str) -> Markup:
    return Markup('<path class="{}" d="{}"/>').format(kind, d)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> Markup:
    form = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return form.format(kind, x, y, anchor, escape(text))


def _said(p: Point) -> str:
    return typeset(f"{one_line(p.name)}: {_value(p.x, p.x_ci)} and {_value(p.y, p.y_ci)}")


def _value(value: float, ci: Pair | None) -> str:
    return number(value) + (f" {interval(ci)}" if ci else "")


def _alt(points: Sequence[Point], x_label: str, y_label: str, title: str) -> str:
    said = "; ".join(f"{one_line(p.name)} {number(p.x)}, {number(p.y)}" for p in points)
    best = ", ".join(one_line(p.name) for p in points if p.best)
    return f"{title}. {x_label}, {y_label}: {said}. Beaten by none: {best}."
