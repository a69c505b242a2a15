"""How a cost grows: the exponent of a power law, by least squares on the logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import linregress


@dataclass(frozen=True, kw_only=True)
class Exponent:
    """cost ~ size ** value; error: the standard error of the fit. 1 is linear, 0 does not grow."""

    value: float
    error: float


def exponent(sizes: Sequence[float], costs: Sequence[Sequence[float]]) -> Exponent:
    """costs[i]: what was measured at sizes[i], once or several times. ValueError for fewer than three sizes or a cost <= 0."""
    import numpy as np

    if len(sizes) < 3 or len(sizes) != len(costs):
        raise ValueError(f"{len(sizes)} sizes with {len(costs)} lists of costs; at least three sizes are needed")
    x = [size for size, repeated in zip(sizes, costs, strict=True) for _ in repeated]
    y = [cost for repeated in costs for cost in repeated]
    if min(y) <= 0:
        raise ValueError(f"a cost of {min(y):g} has no logarithm")
    found = linregress(np.log(x), np.log(y))
    error = (
        0.0 if math.isnan(found.stderr) else float(found.stderr)
    )  # a cost that is always the same has no correlation
    return Exponent(value=float(found.slope), error=error)
