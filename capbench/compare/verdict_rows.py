"""One capability verdict in two runs: the verdict, the fine-tuning task, all else, and what each tool says, seed by seed.

A verdict changes where one seed's reading crosses a threshold, which rounding can do. So a change counts only where the figures
behind it moved by more than rounding does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from capbench.compare.changes import change
from capbench.compare.pairing import differences, mean, subtracted
from capbench.compare.quantities import ACCURACY, kind_of_unit, measured
from capbench.compare.rows import EvidenceRow, Outcome, VerdictRow
from capbench.results import Capability, CapabilityState, CollateralState, Evidence, Record

FINETUNED = ("tuned.O_FT.c_te0", "tuned.O_FT.c_te1")  # from which the state of the fine-tuning task is read
Values = Mapping[int, float | None]
OPEN = (CapabilityState.UNDECIDED, CollateralState.DAMAGED, None)  # between two states, as `inconclusive` is


def verdict_row(
    a: Capability | None, b: Capability | None, records_a: Iterable[Record] = (), records_b: Iterable[Record] = ()
) -> VerdictRow:
    """The row of a verdict that at least one run has. records: of the runs, for the accuracies on the fine-tuning task."""
    known = b or a
    if known is None:
        raise ValueError("a verdict is in at least one of the runs")
    row = VerdictRow(
        id=known.id,
        model=known.model,
        method_a=a.method if a else "",
        method_b=b.method if b else "",
        outcome=Outcome.ONLY_A if b is None else Outcome.ONLY_B,
        verdict_a=a.verdict if a else None,
        verdict_b=b.verdict if b else None,
        finetuned_a=a.finetuned if a else None,
        finetuned_b=b.finetuned if b else None,
        collateral_a=a.collateral.state if a and a.collateral else None,
        collateral_b=b.collateral.state if b and b.collateral else None,
        provisional=any(_provisional(c) for c in (a, b) if c is not None),
    )
    return row if a is None or b is None else _compared(row, a, b, records_a, records_b)


class _Aspect(NamedTuple):
    """One state of a model in both runs, with the figures from which it was read. unlike: other tools were used."""

    a: object
    b: object
    figures: Sequence[EvidenceRow]
    unlike: bool = False

    @property
    def beyond(self) -> bool:
        """Whether the state changed, and by more than rounding can do.

        Without figures to set side by side, a change to or from an open state may be a hair; one between two others is not.
        """
        if self.a == self.b:
            return False
        if self.unlike or any(row.moved for row in self.figures):
            return True
        return not any(len(row.seeds) > 1 for row in self.figures) and not {self.a, self.b} & set(OPEN)


def _compared(
    row: VerdictRow, a: Capability, b: Capability, records_a: Iterable[Record], records_b: Iterable[Record]
) -> VerdictRow:
    tools, only = _tools(a, b)
    tuned, others = _finetuned(_measured(a, records_a), _measured(b, records_b)), _collateral(a, b)
    known = row.collateral_a and row.collateral_b  # older reports have none, which is no change
    aspects = {
        "verdict": _Aspect(a.verdict, b.verdict, tools, unlike=bool(only)),
        "fine-tuned task": _Aspect(a.finetuned, b.finetuned, tuned),
        "collateral": _Aspect(known and row.collateral_a, known and row.collateral_b, others),
    }
    figures = (*tools, *tuned, *others)
    shared = {seed for figure in figures for seed in figure.seeds}
    row = replace(
        row,
        evidence=figures,
        beyond=tuple(what for what, aspect in aspects.items() if aspect.beyond),
        provisional=row.provisional or len(shared) == 1,
    )
    changed = [what for what, aspect in aspects.items() if aspect.a != aspect.b]
    hair = [what for what in changed if aspects[what].figures and what not in row.beyond and not row.provisional]
    notes = [only, f"{' and '.join(hair)}: no figure behind it moved by more than rounding does" if hair else ""]
    same = not changed and not only and not any(map(_differs, figures))
    note = "; ".join(filter(None, notes))
    return replace(row, note=note, outcome=Outcome.UNCHANGED if same else Outcome.CHANGED)


def _provisional(judged: Capability) -> bool:
    seeds = {seed for e in judged.evidence for seed in e.per_seed} | judged.per_seed.keys()
    return judged.provisional or len(seeds) == 1


def _differs(row: EvidenceRow) -> bool:
    there = (row.value_a is None) != (row.value_b is None)
    return row.reading_a != row.reading_b or there or bool(row.difference) or any(row.differences)


def _tools(a: Capability, b: Capability) -> tuple[tuple[EvidenceRow, ...], str]:
    """The tools that both used, and in words those that only one used."""
    left, right = ({e.tool: e for e in c.evidence} for c in (a, b))
    rows = tuple(
        _row(left[tool], right[tool], kind_of_unit(left[tool].unit)) for tool in sorted(left.keys() & right.keys())
    )
    only = [
        f"{', '.join(tools)} in {run} only"
        for run, tools in (("A", sorted(left.keys() - right.keys())), ("B", sorted(right.keys() - left.keys())))
        if tools
    ]
    return rows, "; ".join(only)


def _measured(judged: Capability, records: Iterable[Record]) -> dict[str, Evidence]:
    """The accuracies on the fine-tuning task that the run's claims about this model hold, by seed."""
    mine = [
        r
        for r in records
        if (r.model, r.task, r.method, r.protocol) == (judged.model, judged.task, judged.method, judged.protocol)
    ]
    found: dict[str, dict[int, float | None]] = {}
    for m in (m for record in mine for m in record.measurements):
        if m.name in FINETUNED and m.is_number:
            found.setdefault(m.name, {})[m.seed] = m.value
    return {
        name: Evidence(
            tool=name.removeprefix("tuned."), value=_mean(values), unit=ACCURACY, reading="", rule="", per_seed=values
        )
        for name, values in found.items()
    }


def _finetuned(a: Mapping[str, Evidence], b: Mapping[str, Evidence]) -> tuple[EvidenceRow, ...]:
    return tuple(_row(a[name], b[name], ACCURACY) for name in sorted(a.keys() & b.keys()))


def _collateral(a: Capability, b: Capability) -> tuple[EvidenceRow, ...]:
    if a.collateral is None or b.collateral is None:
        return ()
    left, right = (
        Evidence(tool="collateral", value=c.value, unit="share", reading=str(c.state), rule="", per_seed=c.per_seed)
        for c in (a.collateral, b.collateral)
    )
    return (_row(left, right, ACCURACY),)


def _row(a: Evidence, b: Evidence, kind: str) -> EvidenceRow:
    left, right = measured(a), measured(b)
    found = differences(left, right)
    moved = change(kind, left, right)
    # Means are over the same seeds only if both runs hold values per seed; otherwise they are taken as recorded.
    per_seed = bool(a.per_seed and b.per_seed)
    return EvidenceRow(
        tool=a.tool,
        unit=a.unit,
        reading_a=a.reading,
        reading_b=b.reading,
        value_a=a.value,
        value_b=b.value,
        seeds=tuple(found),
        differences=tuple(found.values()),
        difference=mean(found.values()) if per_seed else subtracted(b.value, a.value),
        moved=bool(moved.beyond) or len(moved.alone) > len(moved.by_seed),
    )


def _mean(values: Values) -> float | None:
    return mean(value for value in values.values() if value is not None)
