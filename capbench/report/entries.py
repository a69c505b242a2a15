"""What the page shows of one record: its interval as a drawing, its values per seed, its measurements."""

from __future__ import annotations

from dataclasses import dataclass

from capbench.report import plain, words
from capbench.results import Measurement, Record, Verdict

BAR = (170, 26)  # pixels of the small interval drawing
KEY = 12  # characters shown of an artefact's key


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Where things lie in the small drawing of an interval, in pixels from the left."""

    holds_from: float
    holds_width: float
    threshold: float | None
    low: float | None
    high: float | None
    effect: float | None
    seeds: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a record's measurement table: a quantity, with a value per seed."""

    group: str
    series: str
    name: str
    unit: str
    n: str
    values: tuple[str, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A record as the page shows it: in the claim table and in its own section. case: in plain words."""

    anchor: str
    record: Record
    case: str
    bar: Bar | None
    per_seed: tuple[tuple[str, str], ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    artefacts: tuple[tuple[str, str], ...]


def entry(index: int, record: Record) -> Entry:
    """Everything the page shows of one record."""
    verdict = record.verdict
    aligned = len(record.seeds) == len(verdict.per_seed)  # never guess which value belongs to which seed
    numbered = [f"#{i}" for i in range(1, len(verdict.per_seed) + 1)]
    names = [f"seed {seed}" for seed in record.seeds] if aligned else numbered
    seeds = tuple(sorted({m.seed for m in record.measurements}))
    return Entry(
        anchor=f"record-{index}",
        record=record,
        case=words.line(plain.of_record(record)),
        bar=bar(verdict),
        per_seed=tuple(zip(names, map(as_number, verdict.per_seed), strict=True)),
        seeds=seeds,
        rows=_rows(record.measurements, seeds),
        artefacts=tuple((role, _short(key)) for role, key in record.artefacts.items()),
    )


def bar(verdict: Verdict) -> Bar | None:
    """The interval and its threshold on an axis of their own; None where there is no effect to show."""
    if verdict.effect is None:
        return None
    seeds = [value for value in verdict.per_seed if value is not None]
    marks = [*seeds, verdict.effect, *(verdict.ci or ())]
    marks += [] if verdict.threshold is None else [verdict.threshold]
    span = max(marks) - min(marks) or max(abs(verdict.effect), 1.0)
    left, width = min(marks) - 0.12 * span, 1.24 * span

    def at(value: float) -> float:
        return float(round((value - left) / width * BAR[0], 1))

    line = None if verdict.threshold is None else at(verdict.threshold)
    holds_from = line if line is not None and verdict.direction == ">=" else 0.0
    holds_to = BAR[0] if verdict.direction == ">=" else line
    return Bar(
        holds_from=holds_from,
        holds_width=0.0 if line is None or holds_to is None else round(holds_to - holds_from, 1),
        threshold=line,
        low=at(verdict.ci[0]) if verdict.ci else None,
        high=at(verdict.ci[1]) if verdict.ci else None,
        effect=at(verdict.effect),
        seeds=tuple(map(at, seeds)),
    )


def _rows(measurements: tuple[Measurement, ...], seeds: tuple[int, ...]) -> tuple[Row, ...]:
    """One row per quantity and one column per seed; a seed measured twice shows both values.

    A map without a value of its own is not a quantity, nor is a text: the figures show them.
    """
    found: dict[tuple[str, str, str, str], list[Measurement]] = {}
    for m in measurements:
        if m.passage is None and (m.grid is None or m.value is not None):
            found.setdefault((m.group, m.series, m.name, m.unit), []).append(m)
    rows = []
    for (group, series, name, unit), same in found.items():
        values = [" / ".join(as_number(m.value, unit) for m in same if m.seed == seed) for seed in seeds]
        counts = sorted({m.n for m in same})
        rows.append(
            Row(
                group=group,
                series=series,
                name=name,
                unit=unit,
                n=str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
                values=tuple(values),
                note="; ".join(dict.fromkeys(m.note for m in same if m.note)),
            )
        )
    return tuple(rows)


def as_number(value: float | None, unit: str = "") -> str:
    """A number with a real minus sign."""
    return words.typeset(words.number(value, unit=unit))


def _short(key: str) -> str:
    return key if len(key) <= KEY else f"{key[:KEY]}…"
