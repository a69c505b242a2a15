"""The figures of a run for the page, each under the question that it helps to answer. One that fails costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from capbench.report.charts import lines, maps
from capbench.report.data import file_of, groups_of
from capbench.report.maps import MapSheet, map_sheets
from capbench.report.panels import Sheet, sheets
from capbench.report.passages import PassageSheet, PassageTable, passage_sheets
from capbench.report.words import line as one_line
from capbench.results import Record

# The groups of a question; others come last.
_QUESTIONS = (
    ("Is it a shortcut?", ("fine-tuning", "accuracy")),
    (
        "Is the old capability still there?",
        ("pruning", "localization", "probing", "patching", "attention", "stories"),
    ),
    ("How fast does it come back?", ("revival",)),
    ("Can the tools and the verdict be trusted?", ("calibration", "confusion")),
)
_FURTHER = "Further figures"
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """blocks: of curves; rows: of maps; tables: of what models wrote. data: the file with its numbers.

    error: why it could not be drawn, '' if it was.
    """

    question: str
    title: str
    caption: str
    data: str
    blocks: tuple[lines.Block, ...] = ()
    rows: tuple[maps.DrawnRow, ...] = ()
    tables: tuple[PassageTable, ...] = ()
    error: str = ""

    @property
    def open(self) -> bool:
        """Whether to show it at once: what helps to answer no question is folded."""
        return self.question != _FURTHER


def draw_all(records: Sequence[Record]) -> list[Figure]:
    """Every figure of a run, by question."""
    groups = groups_of(records)
    found: list[tuple[str, Figure]] = []
    for sheet in sheets(records):
        blocks, error = _tried(lines.draw, sheet)
        figure = _figure(sheet, groups, blocks=tuple(blocks or ()), error=error)
        found.append((sheet.group, figure))
    for of_maps in map_sheets(records):
        drawn = [_tried(maps.draw, row) for row in of_maps.rows]
        rows = tuple(row for row, _ in drawn if row is not None)
        error = next((error for _, error in drawn if error), "")
        found.append((of_maps.group, _figure(of_maps, groups, rows=rows, error=error)))
    found += [(of.group, _figure(of, groups, tables=of.tables)) for of in passage_sheets(records)]
    order = [group for _, members in _QUESTIONS for group in members]
    found.sort(key=lambda item: order.index(item[0]) if item[0] in order else len(order))  # stable
    return [figure for _, figure in found]


def _figure(
    sheet: Sheet | MapSheet | PassageSheet,
    groups: Sequence[str],
    *,
    blocks: tuple[lines.Block, ...] = (),
    rows: tuple[maps.DrawnRow, ...] = (),
    tables: tuple[PassageTable, ...] = (),
    error: str = "",
) -> Figure:
    return Figure(
        question=_question(sheet.group),
        title=sheet.title,
        caption=sheet.caption,
        data=file_of(sheet.group, groups),
        blocks=blocks,
        rows=rows,
        tables=tables,
        error=error,
    )


def _question(group: str) -> str:
    return next((question for question, members in _QUESTIONS if group in members), _FURTHER)


def _tried(drawn: Callable[[T], U], what: T) -> tuple[U | None, str]:
    try:
        return drawn(what), ""
    except Exception as error:  # one broken picture must not cost the rest of the report
        return None, one_line(f"{type(error).__name__}: {error}")
