"""The numbers behind the figures, as CSV files beside the page: a row for each point of a curve and each cell of a map."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from capbench.report.panels import OTHER
from capbench.report.words import in_order
from capbench.results import Measurement, Record

FOLDER = "figures"
HEAD = (
    "claim",
    "case",
    "method",
    "model",
    "task",
    "series",
    "name",
    "seed",
    "unit",
    "x_label",
    "x",
    "y_label",
    "y",
    "value",
)


def file_of(group: str, groups: Sequence[str]) -> str:
    """Where the numbers of a group are, from the page: `figures/fine-tuning.csv`. groups: all that the run has."""
    name = re.sub(r"[^a-z0-9]+", "-", group.lower()).strip("-") or "figure"
    same = [each for each in groups if re.sub(r"[^a-z0-9]+", "-", each.lower()).strip("-") == name]
    return f"{FOLDER}/{name}{f'-{same.index(group) + 1}' if len(same) > 1 else ''}.csv"


def groups_of(records: Sequence[Record]) -> list[str]:
    """The groups that have curves or maps, in order of appearance."""
    return list(dict.fromkeys(m.group or OTHER for r in in_order(records) for m in r.measurements if not m.is_number))


def figure_data(records: Sequence[Record]) -> dict[str, str]:
    """File name -> its content. A curve's row has x and y; a map's column, row and value; a passage's what was asked and told.

    What was not measured is empty.
    """
    groups = groups_of(records)
    found: dict[str, io.StringIO] = {}
    for group in groups:
        out = found[file_of(group, groups)] = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(HEAD)
        for record in in_order(records):
            whose = (record.claim, record.case, record.method, record.model, record.task)
            for m in record.measurements:
                if (m.group or OTHER) == group:
                    about = (m.series, m.name, m.seed, m.unit)
                    table.writerows((*whose, *about, *point) for point in _points(m))
    return {name: out.getvalue() for name, out in found.items()}


def _points(m: Measurement) -> Iterator[tuple[object, ...]]:
    if m.curve is not None:
        c = m.curve
        yield from ((c.x_label, x, c.y_label, y, y) for x, y in zip(c.x, c.y, strict=True))
    elif m.passage is not None:
        yield ("asked", m.passage.prompt, "told", m.passage.text, "")
    elif m.grid is not None:
        g = m.grid
        for row, values in zip(g.rows, g.values, strict=True):
            yield from ((g.column_label, c, g.row_label, row, v) for c, v in zip(g.columns, values, strict=True))
