"""What models wrote, side by side: a table for each case, a column for each model, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capbench.report.panels import OTHER, naming, origin, subject
from capbench.report.words import in_order
from capbench.results import Measurement, Passage, Record

# group -> (title, caption). Other groups follow under their own names.
GROUPS = {
    "stories": (
        "Stories",
        "What each model tells when asked for the same stories, taking the most likely word each time. The event is marked.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a text."""

    text: str
    marked: bool


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was asked, and what each model wrote, in the order of the table's columns; None where a model was not asked."""

    prompt: str
    texts: tuple[tuple[Piece, ...] | None, ...]


@dataclass(frozen=True, kw_only=True)
class PassageTable:
    """The passages of one case and method, of its lowest seed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Written, ...]


@dataclass(frozen=True, kw_only=True)
class PassageSheet:
    """One figure of the report: a table for each case and method."""

    group: str
    title: str
    caption: str
    tables: tuple[PassageTable, ...]


def passage_sheets(records: Sequence[Record]) -> list[PassageSheet]:
    """One sheet per group that has passages."""
    ordered = [r for r in in_order(records) if any(m.passage for m in r.measurements)]
    groups = dict.fromkeys(m.group or OTHER for r in ordered for m in r.measurements if m.passage)
    return [_sheet(group, ordered) for group in groups]


def pieces(passage: Passage) -> tuple[Piece, ...]:
    """The text in parts, marked and not, in order."""
    found, at = [], 0
    for start, end in passage.marked:
        found += [Piece(text=passage.text[at:start], marked=False), Piece(text=passage.text[start:end], marked=True)]
        at = end
    found.append(Piece(text=passage.text[at:], marked=False))
    return tuple(piece for piece in found if piece.text)


def _sheet(group: str, records: Sequence[Record]) -> PassageSheet:
    of_group = [r for r in records if any(m.passage and (m.group or OTHER) == group for m in r.measurements)]
    name = naming(of_group)
    subjects: dict[tuple[str, ...], tuple[str, list[Measurement]]] = {}
    for record in of_group:
        found = [m for m in record.measurements if m.passage and (m.group or OTHER) == group]
        subjects.setdefault(subject(record), (name(record), []))[1].extend(found)
    heading, reading = GROUPS.get(group, (group[:1].upper() + group[1:], ""))
    return PassageSheet(
        group=group,
        title=heading,
        caption=" ".join(part for part in (reading, "The lowest seed.", *origin(of_group)) if part),
        tables=tuple(_table(title, found) for title, found in subjects.values()),
    )


def _table(title: str, measurements: Sequence[Measurement]) -> PassageTable:
    """A column for each series, a row for each prompt, in order of appearance."""
    lowest = min(m.seed for m in measurements)
    mine = [m for m in measurements if m.seed == lowest]
    columns = tuple(dict.fromkeys(m.series or m.name for m in mine))
    texts = {(m.passage.prompt, m.series or m.name): pieces(m.passage) for m in mine if m.passage}
    prompts = dict.fromkeys(prompt for prompt, _ in texts)
    rows = tuple(
        Written(prompt=prompt, texts=tuple(texts.get((prompt, column)) for column in columns)) for prompt in prompts
    )
    return PassageTable(title=title, columns=columns, rows=rows)
