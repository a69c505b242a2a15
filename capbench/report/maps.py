"""Heat maps of a figure: which grids of a run are drawn where, as plain data (no matplotlib)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from capbench.report.panels import OTHER, naming, origin, subject
from capbench.report.words import in_order, line, seeds
from capbench.results import Grid, Measurement, Record

# group -> (title, caption), in the order of the report. Other groups follow under their own names.
GROUPS = {
    "attention": (
        "Attention maps",
        "How much each position of a text (row) attends to each other one (column), by model and block.",
    ),
    "confusion": (
        "Confusion matrix",
        "Models of known state (row) by the verdict on them (column), summed over seeds.",
    ),
    "activations": (
        "Activation maps",
        "What is active at each position of a text (column), by model and block.",
    ),
}


LONGEST = 20  # letters of a label; longer ones lose their middle, since names of features differ at their ends
SUMMED = frozenset({"confusion"})  # groups of counts, which are summed over seeds


@dataclass(frozen=True, kw_only=True)
class Map:
    """One grid under its title."""

    title: str
    grid: Grid


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """The maps of one case and method, side by side and on one colour scale."""

    title: str
    unit: str
    maps: tuple[Map, ...]


@dataclass(frozen=True, kw_only=True)
class MapSheet:
    """One figure of the report: a row of maps per case and method."""

    group: str
    title: str
    caption: str
    rows: tuple[MapRow, ...]


def map_sheets(records: Sequence[Record]) -> list[MapSheet]:
    """One sheet per group that has grids."""
    groups: dict[str, list[Record]] = {}
    for record in in_order(records):
        for group in dict.fromkeys(m.group or OTHER for m in record.measurements if m.grid is not None):
            groups.setdefault(group, []).append(record)
    known = [group for group in GROUPS if group in groups]
    return [_sheet(group, groups[group]) for group in (*known, *(g for g in groups if g not in GROUPS))]


def _sheet(group: str, records: Sequence[Record]) -> MapSheet:
    name = naming(records)
    rows: dict[tuple[str, ...], tuple[str, dict[tuple[str, Grid], Measurement]]] = {}
    measured: set[tuple[str, int]] = set()  # series and seed
    drawn: set[tuple[str, int]] = set()
    for record in records:
        found = [m for m in record.measurements if (m.group or OTHER) == group and m.grid is not None]
        measured |= {(m.series, m.seed) for m in found}
        drawn |= {(m.series, m.seed) for m in (found if group in SUMMED else _lowest_seed(found))}
        for m in _summed(found) if group in SUMMED else _lowest_seed(found):
            assert m.grid is not None
            row = rows.setdefault((m.unit, *subject(record)), (name(record), {}))[1]
            row.setdefault((m.series, m.grid), m)  # the same map in two records counts once
    heading, reading = GROUPS.get(group, (f"{group[:1].upper()}{group[1:]} maps", ""))
    lowest = ", ".join(map(str, sorted({seed for _, seed in drawn})))
    only = "" if measured == drawn else f"; only the lowest seed of each record and map is drawn ({lowest})"
    who = f"{seeds(seed for _, seed in measured)}{only}."
    caption = [reading, who, "Maps in one frame share a colour scale.", *origin(records)]
    return MapSheet(
        group=group,
        title=heading,
        caption=" ".join(part for part in caption if part),
        rows=tuple(_row(key[0], title, list(maps.values())) for key, (title, maps) in rows.items()),
    )


def _summed(measurements: Sequence[Measurement]) -> list[Measurement]:
    """The counts of each series over all seeds, under its lowest seed. Grids of one series have the same labels."""
    total: dict[str, Measurement] = {}
    for m in measurements:
        before = total.get(m.series)
        if before is None:
            total[m.series] = m
            continue
        assert m.grid is not None and before.grid is not None
        pairs = zip(before.grid.values, m.grid.values, strict=True)
        values = tuple(tuple(a + b for a, b in zip(*rows, strict=True)) for rows in pairs)
        total[m.series] = replace(before, grid=replace(before.grid, values=values))
    return list(total.values())


def _lowest_seed(measurements: Sequence[Measurement]) -> list[Measurement]:
    """What the lowest seed of each series gave, in the order of the record."""
    lowest: dict[str, int] = {}
    for m in measurements:
        lowest[m.series] = min(m.seed, lowest.get(m.series, m.seed))
    return [m for m in measurements if m.seed == lowest[m.series]]


def _row(unit: str, title: str, measurements: Sequence[Measurement]) -> MapRow:
    """Maps are titled by series, and by measurement too where a series has several."""
    several = {series for series, count in Counter(m.series for m in measurements).items() if count > 1}
    maps = []
    for m in measurements:
        assert m.grid is not None
        words = [m.series or m.name, *([m.name] if m.series and m.series in several else [])]
        maps.append(Map(title=", ".join(words), grid=m.grid))
    return MapRow(title=title, unit=unit, maps=tuple(maps))


def short(label: str) -> str:
    """A label of an axis, on one line."""
    shown = line(label)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST // 2]}…{shown[1 - LONGEST // 2 :]}"
