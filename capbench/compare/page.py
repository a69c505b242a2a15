"""A comparison as a page that needs no network, in the report's style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from capbench.compare.quantities import moved
from capbench.compare.rows import ClaimRow, Comparison, EvidenceRow, Outcome, VerdictRow
from capbench.compare.show import counted
from capbench.compare.spans import SIZE, Span, spans
from capbench.report import plain
from capbench.report.page import rendered
from capbench.report.words import line, number, seeds, typeset
from capbench.results import Results, RunInfo

TEMPLATES = Path(__file__).parent / "templates"
ONE_RUN = (Outcome.ONLY_A, Outcome.ONLY_B)
GONE = f" is {Outcome.ONLY_A}"  # the end of what the gate says of a row that B lacks
NEW_TASK = {"O_FT.c_te0": "new task, C_Te 0", "O_FT.c_te1": "new task, C_Te 1"}
Row = TypeVar("Row", bound="Claim | Model")
READINGS = {"present": "●", "absent": "○", "unclear": "◐"}
ORDER = (  # of rows: what a reader must see first
    *(Outcome.LOST, Outcome.WORSE, Outcome.ONLY_A, Outcome.CHANGED, Outcome.NOT_COMPARABLE),
    *(Outcome.IMPROVED, Outcome.GAINED, Outcome.ONLY_B, Outcome.UNCHANGED),
)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A row of claims. statement, case: in plain words. change: with its interval; span: the same as a drawing."""

    row: ClaimRow
    statement: str
    case: str
    change: str
    span: Span | None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A row of verdicts. case: in plain words. tools: those that read something else, or something else by more than rounding."""

    row: VerdictRow
    task: str
    case: str
    tools: tuple[Tool, ...]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """What one tool says in both runs, in words."""

    name: str
    a: str
    b: str
    readings: tuple[str, str]
    moved: bool


def to_page(found: Comparison, failed: Sequence[str], runs: Sequence[Results]) -> str:
    """The page. failed: what the gate found. runs: those that were compared, for the words of their claims."""
    drawn = spans(found.claims)
    statements = {r.id: line(r.statement) for run in runs for r in run.records}
    claims = [_claim(row, drawn.get(row), statements) for row in sorted(found.claims, key=_place)]
    models = [_model(row) for row in sorted(found.verdicts, key=_place)]
    return rendered(
        "comparison.html.j2",
        folder=TEMPLATES,
        found=found,
        moved=[words for words in failed if not _gone(words)],
        gone=[words.removesuffix(GONE) for words in failed if _gone(words)],
        headline=headline(found, failed),
        verdicts=counted(found.verdicts, "capability verdict"),
        counted=counted(found.claims, "claim"),
        models=_parts(models),
        claims=_parts(claims),
        outcomes=[o for o in ORDER if any(row.outcome is o for row in found.claims)],
        readings=READINGS,
        size=SIZE,
        seeds=lambda run: seeds(run.seeds),
    )


def headline(found: Comparison, failed: Sequence[str]) -> str:
    """The result in one sentence, with the methods' names where each run has one and they differ."""
    whose = f"from {_name(found.a, found.b, 'A')} to {_name(found.b, found.a, 'B')}"
    if failed:
        gone = sum(map(_gone, failed))
        moved = len(failed) - gone
        missing = f"; {gone} of A's claims and verdicts {'is' if gone == 1 else 'are'} missing in B" if gone else ""
        return f"{moved or 'No'} regression{'s' * (moved != 1)} {whose}{missing}"
    if not found.claims and not found.verdicts:
        return "Nothing to compare: the runs hold no claims"
    if not found.moved_claims and not found.moved_verdicts:
        return f"Nothing changed {whose}"
    better, worse = (sum(row.outcome is o for row in found.claims) for o in (Outcome.IMPROVED, Outcome.WORSE))
    states = sum(row.verdict_a is not row.verdict_b for row in found.verdicts if row.verdict_a and row.verdict_b)
    said = [f"{n} claim{'s' * (n > 1)} {what}" for n, what in ((better, "better"), (worse, "worse")) if n]
    claims = " and ".join(said) or "no claim better or worse beyond rounding"
    models = f", {states} of {len(found.verdicts)} models in another state" if found.verdicts else ""
    return f"No regression {whose}: {claims}{models}"


def _name(run: RunInfo, other: RunInfo, letter: str) -> str:
    """By its method where that tells the two apart."""
    alone = len(run.methods) == len(other.methods) == 1 and run.methods != other.methods
    return f"{line(run.methods[0])} ({letter})" if alone else letter


def _place(row: ClaimRow | VerdictRow) -> tuple[bool, int, bool, str]:
    states = (row.status_a, row.status_b) if isinstance(row, ClaimRow) else (row.verdict_a, row.verdict_b)
    return not row.regressed, ORDER.index(row.outcome), states[0] is states[1], row.id


def _gone(words: str) -> bool:
    return words.endswith(GONE)


def _parts(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Those that moved, and under their titles those of one run only and those that did not move."""
    return [
        ("", [r for r in rows if r.row.outcome not in (*ONE_RUN, Outcome.UNCHANGED)]),
        *((f"{outcome}", [r for r in rows if r.row.outcome is outcome]) for outcome in (*ONE_RUN, Outcome.UNCHANGED)),
    ]


def _claim(row: ClaimRow, span: Span | None, statements: Mapping[str, str]) -> Claim:
    return Claim(
        row=row,
        statement=statements.get(row.id, ""),
        case=line(plain.of_case(_inside(row.id), row.task)),
        change=typeset(moved(row.kind, row.change, row.ci)),
        span=span,
    )


def _model(row: VerdictRow) -> Model:
    task = row.id.partition("[")[0]
    tools = tuple(_tool(item) for item in row.evidence if item.value_a is not None or item.value_b is not None)
    return Model(row=row, task=line(task), case=line(plain.of_case(_inside(row.id), task) or row.model), tools=tools)


def _tool(item: EvidenceRow) -> Tool:
    a, b = (typeset(number(value, unit=item.unit)) for value in (item.value_a, item.value_b))
    name = NEW_TASK.get(item.tool, line(item.tool))
    return Tool(name=name, a=a, b=b, readings=(item.reading_a, item.reading_b), moved=item.moved)


def _inside(name: str) -> str:
    return name.partition("[")[2].removesuffix("]")
