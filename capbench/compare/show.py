"""A comparison as text for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence

from capbench.compare.quantities import moved
from capbench.compare.rows import ClaimRow, Comparison, EvidenceRow, Outcome, VerdictRow
from capbench.report.markdown import escape, table
from capbench.report.terminal import GAP, WIDTH, fold
from capbench.report.words import DASH, line, number, seeds
from capbench.results import to_dict

SCHEMA = (
    2  # of a comparison as JSON; schema 1 had no kinds, no noise, nothing provisional, and compared ratios as they are
)
CELL = 24  # columns of a terminal for a cell before it is folded
CLAIMS = ("claim", "outcome", "status", "effect", "change of margin", "B - A per seed")
VERDICTS = ("capability", "outcome", "verdict", "fine-tuned task", "tools")


def to_text(found: Comparison, failed: Sequence[str] = (), *, every: bool = False) -> str:
    """For a terminal. every: also the rows that did not change. failed: what the gate found, for `to_json` only."""
    parts = [_heading(found)]
    (claims, verdicts), several = _shown(found, every=every), found.several_methods
    if claims:
        parts += [_table(CLAIMS, [_claim(row, several) for row in claims]), "\n".join(_remarks(claims, several))]
    if verdicts:
        parts.append(_table(VERDICTS, [_verdict(row, several) for row in verdicts]))
    parts.append(answer(found))
    return "\n\n".join(filter(None, parts))


def to_markdown(found: Comparison, failed: Sequence[str] = (), *, every: bool = False) -> str:
    """GitHub-flavoured, with the regression, if there is one, above the tables."""
    parts = [f"# capbench: comparison at scale {escape(found.a.scale)}", f"**{escape(answer(found))}**"]
    if failed:
        parts.append("\n".join(["Regression:", "", *(f"- {escape(words)}" for words in failed)]))
    parts.append(table(["", "A", "B"], [["run", found.a.run_id, found.b.run_id], *_facts(found)], numbers_from=9))
    parts += [escape(note) for note in found.notes]
    (claims, verdicts), several = _shown(found, every=every), found.several_methods
    if claims:
        parts += ["## Claims", table(CLAIMS, [_claim(row, several) for row in claims], numbers_from=9)]
        parts.append("\n".join(f"- {escape(remark)}" for remark in _remarks(claims, several)))
    if verdicts:
        parts += ["## Capabilities", table(VERDICTS, [_verdict(row, several) for row in verdicts], numbers_from=9)]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_json(found: Comparison, failed: Sequence[str] = (), *, every: bool = True) -> str:
    """Everything, rows that did not change too; numbers are finite or null."""
    whole = {"schema": SCHEMA, **to_dict(found), "regression": list(failed)}
    return json.dumps(whole, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


FORMATS = {"text": to_text, "markdown": to_markdown, "json": to_json}


def answer(found: Comparison) -> str:
    """The result in one line."""
    if not found.claims and not found.verdicts:
        return "nothing to compare: the runs hold no claims"
    if not found.moved_claims and not found.moved_verdicts:
        return f"no difference: {counted(found.claims, 'claim')}; {counted(found.verdicts, 'capability verdict')}"
    return f"{counted(found.claims, 'claim')}; {counted(found.verdicts, 'capability verdict')}"


def counted(rows: Sequence[ClaimRow] | Sequence[VerdictRow], what: str) -> str:
    ends = Counter(row.outcome for row in rows)
    counts = ", ".join(f"{ends[outcome]} {outcome}" for outcome in Outcome if ends[outcome])
    return f"{len(rows)} {what}{'s' * (len(rows) != 1)}" + (f" ({counts})" if counts else "")


def _shown(found: Comparison, *, every: bool) -> tuple[Sequence[ClaimRow], Sequence[VerdictRow]]:
    return (found.claims, found.verdicts) if every else (found.moved_claims, found.moved_verdicts)


def _heading(found: Comparison) -> str:
    lines = [f"comparison at scale {line(found.a.scale)}"]
    lines += [f"  {name}: {line(run.run_id)}, {seeds(run.seeds)}" for name, run in (("A", found.a), ("B", found.b))]
    if found.setup:
        lines.append("differences in set-up (A | B):")
        lines += [f"  {line(what)}: {line(a)} | {line(b)}" for what, a, b in _facts(found)]
    return "\n".join([*lines, *(line(note) for note in found.notes)])


def _facts(found: Comparison) -> list[list[str]]:
    return [[item.what, item.a, item.b] for item in found.setup]


def _claim(row: ClaimRow, several: bool) -> list[str]:
    effect = _change(number(row.effect_a), number(row.effect_b))
    by_seed = ", ".join(moved(row.kind, value) for value in row.differences) or DASH
    change = moved(row.kind, row.change, row.ci)
    return [_name(row, several), _outcome(row), _change(row.status_a, row.status_b), effect, change, by_seed]


def _verdict(row: VerdictRow, several: bool) -> list[str]:
    shown = [item for item in row.evidence if item.reading_a or any(item.differences) or item.difference]
    tools = "; ".join(_tool(item) for item in shown) or DASH
    return [
        _name(row, several),
        _outcome(row),
        _change(row.verdict_a, row.verdict_b),
        _change(row.finetuned_a, row.finetuned_b),
        tools + (f" ({row.note})" if row.note else ""),
    ]


def _outcome(row: ClaimRow | VerdictRow) -> str:
    return f"{row.outcome}; provisional" if row.provisional else str(row.outcome)


def _tool(item: EvidenceRow) -> str:
    """`revival 6.73 → 1.10 (-5.63: -5.10, -6.67, -5.23)`: its mean in A and in B, and the differences."""
    unit = item.unit
    words = f"{line(item.tool)} {_change(number(item.value_a, unit=unit), number(item.value_b, unit=unit))}"
    if item.reading_a != item.reading_b:
        words += f", {item.reading_a} → {item.reading_b}"
    by_seed = ", ".join(number(value, sign=True) for value in item.differences)
    return f"{words} ({by_seed})" if any(item.differences) else words


def _remarks(rows: Sequence[ClaimRow], several: bool) -> list[str]:
    return [f"{_name(row, several)}: {line(row.note)}" for row in rows if row.note]


def _name(row: ClaimRow | VerdictRow, several: bool) -> str:
    method = row.method_b or row.method_a
    return line(f"{row.id} ({method})" if several and method else row.id)


def _change(a: object | None, b: object | None) -> str:
    left, right = (DASH if value is None else str(value) for value in (a, b))
    return left if left == right else f"{left} → {right}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Names are folded to the width that the other columns leave."""
    rest = [
        [row[1], *("\n".join(textwrap.fill(part, CELL) for part in c.split("; ")) for c in row[2:])] for row in rows
    ]
    room = max(24, WIDTH - GAP - max(map(len, _tabulated(head[1:], rest).splitlines())))
    return _tabulated(head, [[fold(row[0], room), *cells] for row, cells in zip(rows, rest, strict=True)])


def _tabulated(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers=head, tablefmt="simple", disable_numparse=True)
