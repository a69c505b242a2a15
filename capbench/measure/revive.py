"""Reading a revival curve: steps to a given accuracy, censored if it was never reached (paper Fig. 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

RevivalCurve = Sequence[tuple[int, float]]  # (training step, accuracy 0..1)


def steps_to(curve: RevivalCurve, accuracy: float) -> int | None:
    """The first evaluated step with at least this accuracy; None (censored) if there is none."""
    return next((step for step, value in curve if value >= accuracy), None)


def fastest(curves: Iterable[RevivalCurve], accuracy: float) -> int | None:
    """Fewest steps over several reviver learning rates: the worst case for a deletion method."""
    reached = [step for curve in curves if (step := steps_to(curve, accuracy)) is not None]
    return min(reached, default=None)


def speed_up(revival: int | None, baseline: int | None, *, budget: int) -> tuple[float | None, str]:
    """Baseline steps ÷ revival steps, and a note on the ratio if either was censored at `budget` steps.

    Baseline censored: a lower bound. Revival censored: an upper bound. Both: None. A revival that needed no step gives None
    too: nothing was lost.
    """
    if revival == 0:
        return None, "nothing to revive: the accuracy was reached before the first step"
    if revival is None and baseline is None:
        return None, f"neither the revival nor its baseline reached the accuracy in {budget} steps"
    if revival is None:
        return (baseline or 0) / budget, f"an upper bound: the revival did not reach the accuracy in {budget} steps"
    if baseline is None:
        return budget / revival, f"a lower bound: the baseline did not reach the accuracy in {budget} steps"
    return baseline / revival, ""
