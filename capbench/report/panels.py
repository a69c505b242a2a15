"""Panels of a figure: which curves of a run are drawn where, as plain data (no matplotlib)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from capbench.report import plain
from capbench.report.words import in_order, seeds
from capbench.results import Curve, Measurement, Record

# group -> (title, caption), in the order of the report. Other groups follow under their own names.
GROUPS = {
    "fine-tuning": (
        "Fine-tuning",
        "Accuracy during fine-tuning, on strings that ask for the old operand (O_PT) and for the new one (O_FT).",
    ),
    "pruning": (
        "Pruning",
        "Accuracy after zeroing the neurons, or single weights, that suppress O_PT most, against as many random ones.",
    ),
    "probing": (
        "Probing",
        "How well a linear probe reads the old capability's answer from the residual stream of each block, "
        "against its controls.",
    ),
    "revival": (
        "Revival",
        "Accuracy on O_PT during reverse fine-tuning (reFT), against models that had to learn it (Scr.+FT, Scr.).",
    ),
    "class balance": (
        "Class balance",
        "How the answers are distributed: for O_FT in the fine-tuning data, by C_Tr, and in natural strings; for O_PT in each "
        "split. What is evaluated was not trained on where an answer hangs on as many letters as decide the split. Where it "
        "hangs on a few, as for the token at one place, every split has the same ones (balance.trained).",
    ),
    "calibration": (
        "ROC curves",
        "On models of known state: the share of the wrapped ones (up) and of the deleted ones (right) that a tool calls present, "
        "as its threshold falls.",
    ),
    "accuracy": ("Accuracy", "Accuracy by kind of evaluation string."),
}
OTHER = "other"  # the group of measurements that name none


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series in one panel: a curve per seed."""

    series: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One small multiple: everything drawn on one pair of axes."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One figure of the report."""

    group: str
    title: str
    caption: str
    panels: tuple[Panel, ...]


def sheets(records: Sequence[Record]) -> list[Sheet]:
    """One sheet per group that has curves."""
    groups: dict[str, list[tuple[Record, Measurement]]] = {}
    for record in in_order(records):
        for measurement in record.measurements:
            if measurement.curve is not None:
                groups.setdefault(measurement.group or OTHER, []).append((record, measurement))
    known = [group for group in GROUPS if group in groups]
    return [_sheet(group, groups[group]) for group in (*known, *(g for g in groups if g not in GROUPS))]


def mean(curves: Sequence[Curve]) -> tuple[list[float], list[float | None]]:
    """The mean over curves, only at x that every curve has (grids differ where training stopped early).

    Where a curve has an x but no value (None), the mean is None: the line breaks rather than bridge the gap.
    """
    points = [dict(zip(curve.x, curve.y, strict=True)) for curve in curves]
    shared = sorted(set.intersection(*(set(p) for p in points))) if points else []
    means: list[float | None] = []
    for x in shared:
        values = [value for p in points if (value := p[x]) is not None]
        means.append(sum(values) / len(values) if len(values) == len(points) else None)
    return shared, means


def naming(records: Sequence[Record]) -> Callable[[Record], str]:
    """How to title what belongs to a record: by its case, and by model and method where records differ in them."""
    several_methods = len({r.method for r in records}) > 1
    several_models = len({(r.model, r.task) for r in records}) > 1

    def name(record: Record) -> str:
        model = [f"{record.model}, {record.task}"] if several_models else []
        case = plain.of_record(record) or record.claim
        return "\n".join([case, *model, *([record.method] if several_methods else [])])

    return name


def subject(record: Record) -> tuple[str, ...]:
    """What records must share for their curves or maps to be shown together: two claims may read one model."""
    return record.case or record.claim, record.method, record.model, record.task


def origin(records: Sequence[Record]) -> list[str]:
    """The end of a caption: which claims the figure belongs to, and where the paper shows its counterpart."""
    claims = ", ".join(dict.fromkeys(record.claim for record in records))
    sources = "; ".join(dict.fromkeys(record.source for record in records if record.source))
    return [f"Claims: {claims}.", *([f"In the paper: {sources.rstrip('.')}."] if sources else [])]


def _sheet(group: str, found: Sequence[tuple[Record, Measurement]]) -> Sheet:
    heading, reading = GROUPS.get(group, (group[:1].upper() + group[1:], ""))
    name = naming([record for record, _ in found])
    panels: dict[tuple[str, ...], tuple[str, list[Measurement]]] = {}
    for record, measurement in found:
        assert measurement.curve is not None
        key = (measurement.curve.y_label, measurement.curve.x_label, *subject(record))
        panels.setdefault(key, (name(record), []))[1].append(measurement)
    built = [_panel(title, key[1], key[0], measurements) for key, (title, measurements) in panels.items()]
    return Sheet(group=group, title=heading, caption=_caption(reading, found, built), panels=tuple(built))


def _panel(title: str, x_label: str, y_label: str, measurements: Sequence[Measurement]) -> Panel:
    lines: dict[str, dict[tuple[int, Curve], Curve]] = {}
    for m in measurements:
        assert m.curve is not None
        lines.setdefault(m.series or m.name, {})[m.seed, m.curve] = m.curve  # the same curve in two records counts once
    built = tuple(Line(series=series, curves=tuple(curves.values())) for series, curves in lines.items())
    return Panel(title=title, x_label=x_label, y_label=y_label, lines=built)


def _caption(reading: str, found: Sequence[tuple[Record, Measurement]], panels: Sequence[Panel]) -> str:
    counts = {len(line.curves) for panel in panels for line in panel.lines}
    who = seeds(m.seed for _, m in found)
    if counts == {1}:
        drawn = f"{who}; one run per line."
    else:
        per_line = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        drawn = f"{who}; line: mean over its {per_line} runs, where all have a value; band: the lowest to the highest."
    parts = [reading, drawn, *origin([record for record, _ in found])]
    return " ".join(part for part in parts if part)
