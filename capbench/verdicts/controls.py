"""Controls: does a quantity lie where it must for a claim to mean anything? Its interval over seeds tells, or leaves it open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from capbench.results import Control, Status, Verdict
from capbench.verdicts import claims
from capbench.verdicts.effects import effect_of
from capbench.verdicts.statistics import estimate

_SLACK = 1e-9  # of a limit


def control(
    name: str, values: Sequence[float], *, low: float = -math.inf, high: float = math.inf, alpha: float
) -> Control:
    """The control that a quantity lies between low and high. values: one for each seed.

    It is passed where the interval of the mean lies wholly inside, failed where it lies wholly outside, and undecided where it
    straddles a limit. So a single seed among many fails no control, and none is left out. alpha: the one-sided error at either
    end of the interval. Of one seed alone the value decides, without an interval: what is decided then is provisional anyway, and
    a prior alone would leave nearly every control open.
    """
    limits = [limit for limit in (low, high) if math.isfinite(limit)]
    found = estimate(effect_of(values), at=limits) if len(values) > 1 else None
    value, ci = (fmean(values), None) if found is None else (found.value, found.interval(alpha))
    least, most = ci or (value, value)
    # Equal values at a limit are inside, although the way to the scale of a mean and back rounds.
    inside = low - _SLACK * abs(low) <= least and most <= high + _SLACK * abs(high)
    outside = not inside and (most < low or high < least)
    words = [f">= {low:g}"] * (low in limits) + [f"<= {high:g}"] * (high in limits)
    return Control(
        name=name,
        value=value,
        expected=" and ".join(words),
        passed=inside,
        ci=ci,
        undecided=not (inside or outside),
    )


def failure(control: Control, otherwise: str = "control failed") -> str:
    """Why a claim is invalid after this control. otherwise: what is so if it does not hold."""
    return f"{otherwise}: {_words(control)}"


def hold(controls: Sequence[Control], verdict: Verdict) -> Verdict:
    """A claim's verdict in the light of its controls: invalid if one failed, inconclusive if one is undecided."""
    failed, open_ = [c for c in controls if not (c.passed or c.undecided)], [c for c in controls if c.undecided]
    if failed:
        return claims.invalid(failure(failed[0]))
    if not open_ or verdict.status is Status.INVALID:
        return verdict
    words = f"control undecided: {'; '.join(map(_words, open_))}"
    return replace(verdict, status=Status.INCONCLUSIVE, reason="; ".join(filter(None, [words, verdict.reason])))


def _words(control: Control) -> str:
    ci = f" [{control.ci[0]:.3g}, {control.ci[1]:.3g}]" if control.ci else ""
    return f"{control.name} is {control.value:.3g}{ci}, expected {control.expected}"
