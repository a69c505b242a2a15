"""One claim in two runs: what became of its status, and how far its effect moved, seed by seed."""

from __future__ import annotations

from dataclasses import replace

from capbench.compare.pairing import differences, mean, subtracted
from capbench.compare.rows import RANK, ClaimRow, Outcome
from capbench.results import Record, Status, Verdict
from capbench.verdicts.statistics import interval


def claim_row(a: Record | None, b: Record | None) -> ClaimRow:
    """The row of a claim that at least one run has."""
    known = b or a
    if known is None:
        raise ValueError("a claim is in at least one of the runs")
    row = ClaimRow(
        id=known.id,
        model=known.model,
        task=known.task,
        method_a=a.method if a else "",
        method_b=b.method if b else "",
        outcome=Outcome.ONLY_A if b is None else Outcome.ONLY_B,
        status_a=a.verdict.status if a else None,
        status_b=b.verdict.status if b else None,
        effect_a=a.verdict.effect if a else None,
        effect_b=b.verdict.effect if b else None,
        threshold_a=a.verdict.threshold if a else None,
        threshold_b=b.verdict.threshold if b else None,
    )
    return row if a is None or b is None else _compared(row, a, b)


def _compared(row: ClaimRow, a: Record, b: Record) -> ClaimRow:
    va, vb = a.verdict, b.verdict
    if Status.INVALID in (va.status, vb.status):
        return _invalid(row, va, vb)
    if (va.what, va.direction) != (vb.what, vb.direction):
        # A claim of several conditions shows the worst one, which may differ between the runs.
        note = f"different conditions decide: A {va.what} {va.direction}, B {vb.what} {vb.direction}"
        row = replace(row, note=note, threshold_a=None, threshold_b=None)
        return replace(row, outcome=_by_status(row) or Outcome.CHANGED)
    row = _effects(row, a, b)
    return replace(row, outcome=_by_status(row) or _by_effect(row))


def _invalid(row: ClaimRow, a: Verdict, b: Verdict) -> ClaimRow:
    if a.status is not b.status:
        lost = b.status is Status.INVALID
        return replace(row, outcome=Outcome.LOST if lost else Outcome.GAINED, note=(b if lost else a).reason)
    if a.reason == b.reason:
        return replace(row, outcome=Outcome.UNCHANGED, note=a.reason)
    return replace(row, outcome=Outcome.CHANGED, note=f"invalid for different reasons: A {a.reason}; B {b.reason}")


def _effects(row: ClaimRow, a: Record, b: Record) -> ClaimRow:
    """The row with the effects of the seeds that both have, and their differences."""
    sign = 1 if a.verdict.direction == ">=" else -1
    left, right = _by_seed(a), _by_seed(b)
    found = differences(left, right)
    if found:
        by_seed = tuple(found.values())
        change = mean(sign * value for value in by_seed)
        # The interval of the differences with its sign turned, so that comparing B with A gives exactly the opposite.
        ci = interval(by_seed)
        return replace(
            row,
            effect_a=mean(value for seed in found if (value := left[seed]) is not None),
            effect_b=mean(value for seed in found if (value := right[seed]) is not None),
            seeds=tuple(found),
            differences=by_seed,
            change=change,
            ci=ci and (ci if sign > 0 else (-ci[1], -ci[0])),
        )
    if (left and right) or set(a.seeds) != set(b.seeds):
        return replace(row, note="no seed in common has an effect in both runs")
    whole = subtracted(b.verdict.effect, a.verdict.effect)  # a run that holds means only
    return replace(row, change=None if whole is None else sign * whole)


def _by_seed(record: Record) -> dict[int, float | None]:
    values = record.verdict.per_seed
    return dict(zip(record.seeds, values, strict=True)) if len(record.seeds) == len(values) else {}


def _by_status(row: ClaimRow) -> Outcome | None:
    """None where the status is the same."""
    if row.status_a is row.status_b or row.status_a is None or row.status_b is None:
        return None
    return Outcome.WORSE if RANK[row.status_b] < RANK[row.status_a] else Outcome.IMPROVED


def _by_effect(row: ClaimRow) -> Outcome:
    """Better or worse if the interval of the change excludes zero, or there is none; otherwise just changed."""
    if row.change is None:
        return Outcome.NOT_COMPARABLE
    if row.change == 0 and not any(row.differences):
        return Outcome.UNCHANGED
    low, high = row.ci or (row.change, row.change)
    return Outcome.IMPROVED if low > 0 else Outcome.WORSE if high < 0 else Outcome.CHANGED
