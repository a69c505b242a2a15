"""Terminal tables: the claims and the capability verdicts of a run, in plain text of about 120 columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from capbench.report.words import (
    DASH,
    expectation,
    in_order,
    interval,
    line,
    methods,
    number,
    seeds,
    subject,
    threshold,
    treatment,
)
from capbench.results import Record, Results

WIDTH = 120
METHOD = 28  # columns for a method's name before it is folded
GAP = 2  # columns between two cells, and around a head, in tabulate's 'simple' format


def claim_table(results: Results) -> str:
    """One row per record: status, effect with interval, threshold and margin. Names the scale in its first line."""
    title = f"claims at scale {line(results.run.scale)}, {seeds(results.run.seeds)}"
    if not results.records:
        return f"{title}\nnothing was measured"
    head, rows = claim_rows(results)
    if "method" in head:
        rows = [[row[0], fold(row[1], METHOD), *row[2:]] for row in rows]
    rest = table_width(head[1:], [row[1:] for row in rows])
    room = max(24, WIDTH - GAP - rest)
    rows = [[fold(row[0], room), *row[1:]] for row in rows]
    return f"{title}\n{tabulated(head, rows, right=range(head.index('effect'), len(head)))}"


def capability_table(results: Results) -> str:
    """One row per capability verdict, its reason wrapped. Names the scale in its first line."""
    title = f"capabilities at scale {line(results.run.scale)}"
    if not results.capabilities:
        return f"{title}\nno capability was judged"
    head, rows = capability_rows(results)
    wrapped = [[textwrap.fill(cell, METHOD) for cell in row] for row in rows]
    cells = [[*wrap[:2], fold(row[2], METHOD), *wrap[3:-1]] for wrap, row in zip(wrapped, rows, strict=True)]
    room = max(24, WIDTH - GAP - table_width(head[:-1], cells))
    full = [[*row, textwrap.fill(whole[-1], room)] for row, whole in zip(cells, rows, strict=True)]
    return f"{title}\n{tabulated(head, full)}"


def claim_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and text cells of the claim table; the method is a column only where the run has several."""
    several = len(methods(results)) > 1
    head = ["claim", *(["method"] if several else []), "status"]
    head += ["effect", "95 % CI", "threshold", "margin", "seeds"]
    rows = []
    for record in in_order(results.records):
        method = [line(record.method)] if several else []
        rows.append([line(record.id), *method, f"{record.verdict.status}{expectation(record)}", *_numbers(record)])
    return head, rows


def capability_rows(results: Results) -> tuple[list[str], list[list[str]]]:
    """Head and text cells of the capability table."""
    head = ["model", "protocol", "method", "verdict", "fine-tuned task", "reason"]
    rows = []
    for item in results.capabilities:
        verdict = f"{item.verdict} (uncalibrated)" if item.uncalibrated else item.verdict
        words = [subject(item), treatment(item), item.method, verdict, item.finetuned or DASH, item.reason or DASH]
        rows.append([line(str(word)) for word in words])
    return head, rows


def fold(name: str, width: int) -> str:
    """A claim id or method on as many lines as it needs, broken before '[' and after ',', '/' and ':' where possible."""
    lines = [""]
    for piece in re.split(r"(?<=[,/:])|(?=\[)", name):
        parts = textwrap.wrap(piece, width - 2, break_on_hyphens=False, drop_whitespace=False) or [""]
        for part in parts:
            if len(lines[-1]) + len(part) <= width:
                lines[-1] += part
            else:
                lines.append("  " + part)
    return "\n".join(lines).lstrip()


def table_width(head: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Width, in terminal columns, of what `tabulated` gives."""
    columns = zip(*rows, strict=True)
    widths = [
        max(len(name) + GAP, *(len(part) for cell in column for part in cell.split("\n")))
        for name, column in zip(head, columns, strict=True)
    ]
    return sum(widths) + GAP * (len(widths) - 1)


def tabulated(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """A table for a terminal. right: the right-aligned columns."""
    from tabulate import tabulate

    align = ["right" if i in right else "left" for i in range(len(head))]
    return tabulate(rows, headers=head, tablefmt="simple", disable_numparse=True, colalign=align)


def _numbers(record: Record) -> list[str]:
    verdict = record.verdict
    effect, margin = number(verdict.effect), number(verdict.margin, sign=True)
    return [effect, interval(verdict.ci), threshold(verdict), margin, str(verdict.n_seeds)]
