"""The interval of a mean over seeds, for tables that show figures of which no verdict says one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

from capbench.compare.quantities import RATIO, factor, kind_of_unit

ALPHA = 0.025  # on each side


def over_seeds(values: Sequence[float], unit: str) -> tuple[float | None, tuple[float, float] | None]:
    """The mean and its 95 % t interval, of ratios the geometric mean; no interval for fewer than two seeds."""
    if not values:
        return None, None
    logs = kind_of_unit(unit) == RATIO and all(value > 0 for value in values)
    places = [math.log(value) for value in values] if logs else list(values)
    centre = fmean(places)
    back = factor if logs else float
    if len(places) < 2:
        return back(centre), None
    half = _quantile(len(places) - 1) * math.sqrt(variance(places) / len(places))
    return back(centre), (back(centre - half), back(centre + half))


def _quantile(df: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - ALPHA))
