"""Reading a revival curve: steps to a given accuracy, censored if it was never reached (paper Fig. 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RevivalCurve = Sequence[tuple[int, float]]  # (training step, accuracy 0..1)


def steps_to(curve: RevivalCurve, accuracy: float) -> int | None:
    """The first evaluated step with at least this accuracy; None (censored) if there is none."""
    return next((step for step, value in curve if value >= accuracy), None)


def fastest(curves: Iterable[RevivalCurve], accuracy: float) -> int | None:
    """Fewest steps over several reviver learning rates: the worst case for a deletion method."""
    reached = [step for curve in curves if (step := steps_to(curve, accuracy)) is not None]
    return min(reached, default=None)


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """Baseline steps ÷ revival steps. bound: '>=' or '<=' where it is only a bound; note: why, or why there is no value."""

    value: float | None
    bound: str = ""
    note: str = ""


def speed_up(revival: int | None, baseline: int | None, *, budget: int) -> SpeedUp:
    """How much sooner than its baseline a revival got there; None: it did not in `budget` steps, so that more is needed.

    Baseline censored: the speed-up is at least budget ÷ revival. Revival censored: at most baseline ÷ budget. Both: nothing is
    known. A revival that needed no step has no speed-up either: nothing was lost.
    """
    if revival == 0:
        return SpeedUp(value=None, note="nothing to revive: the accuracy was reached before the first step")
    if revival is None and baseline is None:
        note = f"censored: neither the revival nor its baseline reached the accuracy in {budget} steps"
        return SpeedUp(value=None, note=note)
    if revival is None:
        note = f"censored: the revival did not reach the accuracy in {budget} steps"
        return SpeedUp(value=(baseline or 0) / budget, bound="<=", note=note)
    if baseline is None:
        note = f"censored: the baseline did not reach the accuracy in {budget} steps"
        return SpeedUp(value=budget / revival, bound=">=", note=note)
    return SpeedUp(value=baseline / revival)
