"""What kind of quantity a figure is, and on which scale two are compared: ratios as logarithms, all others as they are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from capbench.report.words import interval, number
from capbench.results import Evidence, Verdict

ACCURACY, DIFFERENCE, RATIO, RETENTION, OTHER = "accuracy", "difference", "ratio", "retention", "any"
_WORDS = (  # of what a claim's effect is called, the first that fits
    (RATIO, re.compile(r"\bratio\b|steps .*/|speed-?up")),
    (DIFFERENCE, re.compile(r"high - low|gained|gain\b|difference")),
    (RETENTION, re.compile(r"retention")),
    (ACCURACY, re.compile(r"accuracy")),
)
_UNITS = {kind: kind for kind in (ACCURACY, DIFFERENCE, RATIO, RETENTION)} | {"share": ACCURACY}


def kind_of_claim(verdict: Verdict) -> str:
    """From the words for its effect, as reports record no kind."""
    return next((kind for kind, words in _WORDS if words.search(verdict.what)), OTHER)


def kind_of_unit(unit: str) -> str:
    return _UNITS.get(unit, OTHER)


def measured(evidence: Evidence) -> dict[int, float | None]:
    """What a tool measured on each seed; None where there is no value, or only a bound of it."""
    return {seed: None if evidence.bounds.get(seed) else value for seed, value in evidence.per_seed.items()}


def comparable(kind: str, *runs: Mapping[int, float | None]) -> tuple[str, tuple[Mapping[int, float], ...]]:
    """The known values by seed on the scale on which they are compared, and their kind.

    A ratio that is zero or negative has no logarithm: where one occurs, all are compared as they are, as of no known kind.
    """
    known = tuple({seed: value for seed, value in run.items() if value is not None} for run in runs)
    if kind != RATIO:
        return kind, known
    if all(value > 0 for run in known for value in run.values()):
        return kind, tuple({seed: math.log(value) for seed, value in run.items()} for run in known)
    return OTHER, known


def moved(kind: str, change: float | None, ci: tuple[float, float] | None = None) -> str:
    """A change on the scale of its kind, with its interval: `+0.05 [0.01, 0.09]`, of a ratio as a factor `×1.20 [1.05, 1.40]`."""
    if change is None or kind != RATIO:
        return number(change, sign=True) + (f" {interval(ci)}" if ci else "")
    factors = f" {interval((factor(ci[0]), factor(ci[1])))}" if ci else ""
    return f"×{number(factor(change))}{factors}"


def factor(log: float) -> float:
    """The ratio of which this is the logarithm."""
    return math.exp(min(log, 700.0))  # beyond, no float has it
