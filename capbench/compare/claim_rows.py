"""One claim in two runs: what became of its status, and how far its effect moved, seed by seed."""

from __future__ import annotations

import math
from dataclasses import replace

from capbench.compare.changes import Change, change
from capbench.compare.conditions import moved_for
from capbench.compare.pairing import mean, subtracted
from capbench.compare.quantities import RATIO, kind_of_claim
from capbench.compare.rows import RANK, ClaimRow, Outcome
from capbench.results import Record, Status, Verdict

BY_ROUNDING = "the status differs, but the effect moved by no more than rounding does"


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
        provisional=any(_provisional(record) for record in (a, b) if record is not None),
    )
    return row if a is None or b is None else _compared(row, a, b)


def by_seed(record: Record) -> dict[int, float | None]:
    """The effect on each seed, None where only a bound of it is known; empty where the run recorded none.

    A verdict does not say which effects are bounds; the measurements do, and one of them is mostly the effect itself.
    """
    values = record.verdict.per_seed
    if len(record.seeds) != len(values):
        return {}
    numbers = [m for m in record.measurements if m.is_number]
    bounds = {(m.seed, m.value) for m in numbers if m.bound} - {(m.seed, m.value) for m in numbers if not m.bound}
    return {s: None if (s, value) in bounds else value for s, value in zip(record.seeds, values, strict=True)}


def _provisional(record: Record) -> bool:
    return record.verdict.provisional or record.verdict.n_seeds == 1 or len(record.seeds) == 1


def _compared(row: ClaimRow, a: Record, b: Record) -> ClaimRow:
    va, vb = a.verdict, b.verdict
    if Status.INVALID in (va.status, vb.status):
        return _invalid(row, va, vb)
    if (va.what, va.direction) != (vb.what, vb.direction):
        # A claim of several conditions shows the worst one, which may differ between the runs.
        note = f"different conditions decide: A {va.what} {va.direction}, B {vb.what} {vb.direction}"
        row = replace(row, note=note, threshold_a=None, threshold_b=None)
        return replace(row, outcome=_by_condition(row, a, b) or _by_status(row) or Outcome.CHANGED)
    return _effects(row, a, b)


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
    left, right = by_seed(a), by_seed(b)
    found = change(kind_of_claim(a.verdict), left, right)
    if found.by_seed:
        row = replace(
            row,
            kind=found.kind,
            effect_a=_effect(found, left),
            effect_b=_effect(found, right),
            seeds=tuple(found.by_seed),
            differences=tuple(found.by_seed.values()),
            change=None if found.mean is None else sign * found.mean,
            # With its sign turned, so that comparing B with A gives exactly the opposite.
            ci=found.ci and (found.ci if sign > 0 else (-found.ci[1], -found.ci[0])),
            noise=found.noise,
            provisional=row.provisional or len(found.by_seed) == 1,
        )
        return _outcome(row, found, sign * found.beyond)
    if (left and right) or set(a.seeds) != set(b.seeds):
        row = replace(row, note="no seed in common has an effect in both runs")
        return replace(row, outcome=_by_status(row) or Outcome.NOT_COMPARABLE)
    whole = subtracted(b.verdict.effect, a.verdict.effect)  # a run that holds means only
    row = replace(row, change=None if whole is None else sign * whole)
    same = Outcome.NOT_COMPARABLE if whole is None else Outcome.CHANGED if whole else Outcome.UNCHANGED
    return replace(row, outcome=_by_status(row) or same)


def _effect(found: Change, values: dict[int, float | None]) -> float | None:
    """The mean over the seeds that both have; of ratios the geometric one."""
    known = [value for seed in found.by_seed if (value := values[seed]) is not None]
    if found.kind != RATIO:
        return mean(known)
    average = mean(map(math.log, known))
    return None if average is None else math.exp(average)


def _outcome(row: ClaimRow, found: Change, beyond: int) -> ClaimRow:
    """Better or worse where the interval of the change lies beyond rounding; otherwise just changed, if anything is."""
    if found.alone and not found.told:
        seeds = ", ".join(map(str, found.alone))
        row = replace(row, note=f"on most seeds only one run has an effect ({seeds})")
        return replace(row, outcome=_by_status(row, fell=True) or Outcome.CHANGED)
    if beyond:
        return replace(row, outcome=Outcome.IMPROVED if beyond > 0 else Outcome.WORSE)
    if row.status_a is not row.status_b:
        moved = row.threshold_a != row.threshold_b
        note = "the threshold moved" if moved else "" if row.provisional else BY_ROUNDING
        return replace(row, outcome=Outcome.CHANGED, note=note)
    return replace(row, outcome=Outcome.CHANGED if any(row.differences) else Outcome.UNCHANGED)


def _by_condition(row: ClaimRow, a: Record, b: Record) -> Outcome | None:
    """By the condition that decides the worse of two runs, where the other run holds it, too; None where it does not."""
    if a.verdict.status is b.verdict.status:
        return None
    worse = b if RANK[b.verdict.status] < RANK[a.verdict.status] else a
    moved = moved_for(a, b, by_seed(worse))
    if moved is None:
        return None
    as_the_status = 1 if worse is a else -1
    if moved != as_the_status:
        return Outcome.CHANGED
    return Outcome.IMPROVED if moved > 0 else Outcome.WORSE


def _by_status(row: ClaimRow, *, fell: bool = False) -> Outcome | None:
    """Where no effects can be set side by side, the statuses must tell; None where they are the same.

    From supported to refuted the interval went from one side of a threshold to the other, which is more than a hair; to or from
    inconclusive an end may have moved by rounding. fell: that is told, too, as more than rounding is known to differ.
    """
    if row.status_a is row.status_b or row.status_a is None or row.status_b is None:
        return None
    if not fell and Status.INCONCLUSIVE in (row.status_a, row.status_b):
        return Outcome.CHANGED
    return Outcome.WORSE if RANK[row.status_b] < RANK[row.status_a] else Outcome.IMPROVED
