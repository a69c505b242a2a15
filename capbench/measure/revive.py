"""Reading revival curves: steps to an accuracy, censored if it was never reached, and speed-ups over baselines (paper Fig. 9)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

RevivalCurve = Sequence[tuple[int, float]]  # (training step, accuracy 0..1)


@dataclass(frozen=True, kw_only=True)
class Time:
    """How many steps a training took to get somewhere; None (censored) if it did not in its `budget` of steps."""

    steps: int | None
    budget: int


def steps_to(curve: RevivalCurve, accuracy: float) -> int | None:
    """The first evaluated step with at least this accuracy; None (censored) if there is none."""
    return next((step for step, value in curve if value >= accuracy), None)


def time_to(curve: RevivalCurve, accuracy: float, *, budget: int) -> Time:
    """The same with its budget, at which the training would have ended. One that diverged before did not get there in it."""
    return Time(steps=steps_to(curve, accuracy), budget=budget)


def fastest(times: Iterable[Time]) -> Time | None:
    """The fewest steps over several trainings: the worst case for a deletion method. None without any.

    Where one was given up before the first of the others got there, it may have been the fastest. Then all that is known is
    that more steps are needed than it had.
    """
    found = list(times)
    if not found:
        return None
    first = min((t.steps for t in found if t.steps is not None), default=None)
    given_up = min((t.budget for t in found if t.steps is None), default=None)
    if first is not None and (given_up is None or first <= given_up):
        return Time(steps=first, budget=max(t.budget for t in found))
    assert given_up is not None  # not one of them got there, or one was given up earlier
    return Time(steps=None, budget=given_up)


@dataclass(frozen=True, kw_only=True)
class SpeedUp:
    """Baseline steps ÷ revival steps. bound: '>=' or '<=' where it is only a bound; note: why, or why there is no value."""

    value: float | None
    bound: str = ""
    note: str = ""


def speed_up(revival: Time | None, baseline: Time | None) -> SpeedUp:
    """How much sooner than its baseline a revival got there.

    Baseline censored: the speed-up is at least its budget ÷ the revival's steps. Revival censored: at most the baseline's steps
    ÷ its budget. Both: nothing is known. A revival that needed no step has no speed-up either: nothing was lost.
    """
    if revival is None or baseline is None:
        return SpeedUp(value=None, note=f"there is no {'revival' if revival is None else 'baseline'}")
    if revival.steps == 0:
        return SpeedUp(value=None, note="nothing to revive: the accuracy was reached before the first step")
    if revival.steps is None and baseline.steps is None:
        least = min(revival.budget, baseline.budget)
        note = f"censored: neither the revival nor its baseline reached the accuracy in {least} steps"
        return SpeedUp(value=None, note=note)
    if revival.steps is None:
        note = f"censored: the revival did not reach the accuracy in {revival.budget} steps"
        return SpeedUp(value=(baseline.steps or 0) / revival.budget, bound="<=", note=note)
    if baseline.steps is None:
        note = f"censored: the baseline did not reach the accuracy in {baseline.budget} steps"
        return SpeedUp(value=baseline.budget / revival.steps, bound=">=", note=note)
    return SpeedUp(value=baseline.steps / revival.steps)


def largest(found: Iterable[SpeedUp]) -> SpeedUp:
    """The largest of several speed-ups: the worst case for a deletion method. One without a value has no part in it.

    Bounds stay bounds. Where the largest is only known to lie between two, the upper one is given.
    """
    every = list(found)
    known = [(s.value, s) for s in every if s.value is not None]
    if not known:
        return SpeedUp(value=None, note=every[0].note if every else "nothing was revived")
    open_ended = next((s for _, s in known if s.bound == ">="), None)
    if open_ended is not None:
        return replace(open_ended, value=max(value for value, s in known if s.bound != "<="))
    return max(known, key=lambda pair: (pair[0], not pair[1].bound))[1]


def spread(times: Iterable[Time]) -> SpeedUp:
    """How far the speed-up of one of these trainings over another is from 1: one standard deviation of it, above 1.

    Times are compared as logarithms, and a speed-up has the noise of two of them: exp(sqrt(2) * sd) - 1. Without a value if one
    was censored, or of fewer than three.
    """
    found = list(times)
    reached = [math.log(t.steps) for t in found if t.steps]
    if len(reached) < len(found):
        return SpeedUp(value=None, note="censored: not all never-taught models of other seeds reached the accuracy")
    if len(reached) < 3:
        return SpeedUp(value=None, note=f"{len(reached)} never-taught models of other seeds; three are needed")
    return SpeedUp(value=math.expm1(math.sqrt(2) * statistics.stdev(reached)))
