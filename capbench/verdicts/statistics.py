"""Intervals, and what an interval and a threshold decide. Knows nothing of claims, models or pytest."""

from __future__ import annotations

from collections.abc import Sequence

from capbench.results import Status

CONFIDENCE = 0.95


def interval(per_seed: Sequence[float]) -> tuple[float, float] | None:
    """Percentile-bootstrap interval of the mean over seeds (95 %); None for a single seed, which has no spread.

    With three seeds this is the range from the lowest to the highest: the bootstrap cannot know more than it saw.
    """
    if len(per_seed) < 2:
        return None
    if len(set(per_seed)) == 1:
        return (per_seed[0], per_seed[0])
    import numpy as np
    from scipy.stats import bootstrap

    found = bootstrap(
        (np.asarray(per_seed, dtype=float),),
        np.mean,
        confidence_level=CONFIDENCE,
        method="percentile",
        n_resamples=9999,
        rng=np.random.default_rng(0),
    ).confidence_interval
    # Rounding may put an end just outside the observed range.
    return max(float(found.low), min(per_seed)), min(float(found.high), max(per_seed))


def share_interval(supported: int, decided: int) -> tuple[float, float]:
    """Wilson's interval (95 %) of a share, given the number of successes and of trials, at least one."""
    from scipy.stats import binomtest

    found = binomtest(supported, decided).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def status(ci: tuple[float, float], threshold: float, direction: str) -> Status:
    """Supported if all of an interval lies on the claim's side of the threshold, refuted if none does. direction: >= or <=."""
    sign = 1 if direction == ">=" else -1
    worst, best = sorted(sign * (end - threshold) for end in ci)
    return Status.SUPPORTED if worst >= 0 else Status.REFUTED if best < 0 else Status.INCONCLUSIVE
