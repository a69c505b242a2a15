"""One capability verdict in two runs: the verdict, the fine-tuning task, and what each tool says, seed by seed."""

from __future__ import annotations

from collections.abc import Iterable

from capbench.compare.pairing import differences, mean, subtracted
from capbench.compare.rows import EvidenceRow, Outcome, VerdictRow
from capbench.results import Capability, Evidence


def verdict_row(a: Capability | None, b: Capability | None) -> VerdictRow:
    """The row of a verdict that at least one run has."""
    known = b or a
    if known is None:
        raise ValueError("a verdict is in at least one of the runs")
    evidence, note = _evidence(a, b)
    return VerdictRow(
        id=known.id,
        model=known.model,
        method_a=a.method if a else "",
        method_b=b.method if b else "",
        outcome=_outcome(a, b, evidence, note),
        verdict_a=a.verdict if a else None,
        verdict_b=b.verdict if b else None,
        finetuned_a=a.finetuned if a else None,
        finetuned_b=b.finetuned if b else None,
        evidence=evidence,
        note=note,
    )


def _outcome(a: Capability | None, b: Capability | None, evidence: Iterable[EvidenceRow], note: str) -> Outcome:
    if a is None or b is None:
        return Outcome.ONLY_B if a is None else Outcome.ONLY_A
    same = (a.verdict, a.finetuned) == (b.verdict, b.finetuned) and not note
    return Outcome.UNCHANGED if same and not any(map(_moved, evidence)) else Outcome.CHANGED


def _moved(row: EvidenceRow) -> bool:
    there = (row.value_a is None) != (row.value_b is None)
    return row.reading_a != row.reading_b or there or bool(row.difference) or any(row.differences)


def _evidence(a: Capability | None, b: Capability | None) -> tuple[tuple[EvidenceRow, ...], str]:
    """The tools that both used, and in words those that only one used."""
    if a is None or b is None:
        return (), ""
    left, right = ({e.tool: e for e in c.evidence} for c in (a, b))
    rows = tuple(_row(left[tool], right[tool]) for tool in sorted(left.keys() & right.keys()))
    only = [
        f"{', '.join(tools)} in {run} only"
        for run, tools in (("A", sorted(left.keys() - right.keys())), ("B", sorted(right.keys() - left.keys())))
        if tools
    ]
    return rows, "; ".join(only)


def _row(a: Evidence, b: Evidence) -> EvidenceRow:
    found = differences(a.per_seed, b.per_seed)
    seeds = found.keys() if found else ()
    # Means are over the same seeds only if both runs hold values per seed; otherwise they are taken as recorded.
    per_seed = bool(a.per_seed and b.per_seed)
    return EvidenceRow(
        tool=a.tool,
        unit=a.unit,
        reading_a=a.reading,
        reading_b=b.reading,
        value_a=a.value,
        value_b=b.value,
        seeds=tuple(seeds),
        differences=tuple(found.values()),
        difference=mean(found.values()) if per_seed else subtracted(b.value, a.value),
    )
