"""Markdown summary of a run, GitHub-flavoured: the answers, verdicts on capabilities, claims, and how the run was made."""

from __future__ import annotations

import re
from collections.abc import Sequence

from capbench.report.answers import Answer, answers
from capbench.report.architectures import by_architecture
from capbench.report.natural import HEAD as NATURAL
from capbench.report.natural import NOTE, fates
from capbench.report.terminal import capability_rows, claim_rows
from capbench.report.variants import HEAD, Tried, specification, tried, variant_rows
from capbench.report.words import DASH, ICONS, answer, duration, in_order, line, seeds, why
from capbench.results import Record, Results, RunInfo, Status

SPECIAL = re.compile(r"[\\`*\[|~&]|(?<!\w)_|_(?!\w)|<(?=[A-Za-z/!?])")  # what GitHub would not show literally


def summary(results: Results) -> str:
    """The whole of summary.md."""
    run = results.run
    parts = [f"# capbench: {escape(run.run_id)}"]
    if results.capabilities:
        parts.append("\n".join(map(_answer, answers(results))))
    parts.append(f"**{escape(answer(results))}**")
    parts += [f"**Warning:** {escape(line)}." for line in results.warnings]
    if results.capabilities:
        parts.append(f"## Capabilities (scale: {escape(run.scale)})")
        parts.append(table(*capability_rows(results), numbers_from=99))
    if found := fates(results):
        parts.append(f"## What became of what the model had from pretraining (scale: {escape(run.scale)})")
        cells = [[str(cell) or DASH for cell in fate] for fate in found]
        parts += [table(NATURAL, cells, numbers_from=99), NOTE]
    parts.append(f"## Claims (scale: {escape(run.scale)})")
    if results.records:
        parts.append(_claims(results))
        parts.extend(_reasons(results))
    else:
        parts.append("Nothing was measured.")
    if pivot := by_architecture(results):
        parts.append(f"## Architectures (scale: {escape(run.scale)})")
        cells = [
            [name, *(f"{ICONS[c.status]} {c.effect}" if c.status else DASH for c in row)] for name, row in pivot.rows
        ]
        parts.append(table(["architecture", *map(escape, pivot.claims)], cells, numbers_from=99))
    if variants := tried(results):
        parts.append(f"## Variants (scale: {escape(run.scale)})")
        parts += [part for each in variants for part in _variants(each)]
    parts.append("## Run")
    parts.append(table(["", ""], [list(fact) for fact in facts(run)], numbers_from=2))
    if run.task is not None:
        parts += [
            f"Own task {escape(str(run.task['id']))}:",
            f"```json\n{specification(run.task['specification'])}\n```",
        ]
    return "\n\n".join(parts) + "\n"


def facts(run: RunInfo) -> list[tuple[str, str]]:
    """How the run was made, as name and value (also shown in the HTML report)."""
    return [
        ("scale", run.scale),
        ("seeds", seeds(run.seeds)),
        ("methods", ", ".join(run.methods) or DASH),
        ("started", run.start),
        ("took", duration(run.seconds)),
        ("device", f"{run.device}, {run.threads} {'thread' if run.threads == 1 else 'threads'}"),
        ("capbench", run.capbench + (f" (commit {run.git_commit[:12]})" if run.git_commit else "")),
        ("Python, torch", f"{run.python}, {run.torch or DASH}"),
        ("command", run.command),
    ]


def _answer(found: Answer) -> str:
    """A bullet per method: what it did, how sure that is, what else broke."""
    return f"- **{escape(found.did)}** {escape(f'How sure: {found.sure} What else broke: {found.broke} {found.task}')}"


def _claims(results: Results) -> str:
    """The claim table with an icon for each status, and how each interval was found where the run says so."""
    head, rows = claim_rows(results)
    status, effect = head.index("status"), head.index("effect")
    rows = [[*row[:status], f"{ICONS[row[status].split()[0]]} {row[status]}", *row[status + 1 :]] for row in rows]
    numbers_to = len(head)
    if any(record.verdict.how for record in results.records):
        head = [*head, "interval found by"]
        rows = [[*row, line(r.verdict.how) or DASH] for row, r in zip(rows, in_order(results.records), strict=True)]
    return table(head, rows, numbers_from=effect, numbers_to=numbers_to)


def _reasons(results: Results) -> list[str]:
    """The reason for each claim that is not supported; empty where all are."""
    undecided = [r for r in in_order(results.records) if r.verdict.status is not Status.SUPPORTED]
    if not undecided:
        return []
    lines = [f"- **{escape(r.id)}** ({_status(r)}): {escape(why(r.verdict))}" for r in undecided]
    return ["### Why not supported", "\n".join(lines)]


def _variants(found: Tried) -> list[str]:
    """The variants that a claim was tried on, and the simplest on which it is refuted."""
    rows = [[row[0], f"{ICONS[row[1]]} {row[1]}", *row[2:]] for row in variant_rows(found.record)]
    parts = [f"**{escape(found.title)}**: {escape(found.tally)}.", table(HEAD, rows, numbers_from=2, numbers_to=4)]
    if found.simplest is not None:
        words = f"Simplest refuted: {escape(found.simplest.words)}. To try it again:"
        parts += [words, f"```sh\n{found.again}\n```"]
    return parts


def _status(record: Record) -> str:
    """The status, and what was expected in place of the paper's, if anything."""
    return str(record.verdict.status) + (f"; expected: {escape(record.expected)}" if record.expected else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int, numbers_to: int = 99) -> str:
    rule = ["---:" if numbers_from <= i < numbers_to else "---" for i in range(len(head))]
    body = [[escape(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *body))


def escape(text: str) -> str:
    """Text from elsewhere as Markdown that shows it literally, on one line."""
    return SPECIAL.sub(r"\\\g<0>", line(text))
