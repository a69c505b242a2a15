"""Intervals over seeds, and what an interval and a threshold decide. Knows nothing of claims, models or pytest.

A moderated t (Smyth 2004, as in limma): the variance between the seeds is shrunk towards the prior of that kind of quantity,
which counts for `prior.df` further seeds. One seed gets its interval from the prior alone. Accuracies have at least the binomial
error of their sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from capbench.results import Status
from capbench.verdicts.effects import ALPHA, effect_of
from capbench.verdicts.links import Link, link_of
from capbench.verdicts.priors import Prior

CONFIDENCE = 1 - 2 * ALPHA
OUTLYING = 0.01  # a spread with a smaller chance than this under its prior counts alone


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The mean over seeds on the scale of a link, with its standard error and degrees of freedom. how: in words."""

    place: float
    error: float
    df: float
    link: Link
    how: str

    @property
    def value(self) -> float:
        """The mean, back from the scale: of ratios the geometric one."""
        return self.link.back(self.place)

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """The two-sided interval that leaves `alpha` out at either end."""
        from scipy.stats import t

        reach = float(t.isf(alpha, self.df)) * self.error if self.error else 0.0
        return self.link.back(self.place - reach), self.link.back(self.place + reach)

    def below(self, threshold: float) -> float:
        """The p-value of all that is at most the threshold: small where the mean is clearly above it."""
        return self._tail(self.place - self.link.forward(threshold))

    def above(self, threshold: float) -> float:
        """The p-value of all that is at least the threshold: small where the mean is clearly below it."""
        return self._tail(self.link.forward(threshold) - self.place)

    def _tail(self, distance: float) -> float:
        from scipy.stats import t

        if not self.error:
            return 0.0 if distance >= 0 else 1.0
        return float(t.sf(distance / self.error, self.df))


def estimate(values: Sequence[float], *, at: Sequence[float] = ()) -> Estimate | None:
    """The mean of an effect over seeds. None for one seed without a prior: nothing is known of its spread.

    values: an `Effect`, or plain numbers, of which no kind is known. at: values that it is compared with, which must have a place
    on the same scale; where one has none, all are taken as they are, without a prior.
    """
    effect = effect_of(values)
    n = len(effect)
    if not n:
        return None
    link = link_of(effect.kind, *effect, *at)
    places = [link.forward(value) for value in effect]
    agree = len(set(places)) == 1  # their mean would be off by a rounding, and so on the wrong side of the threshold
    place = places[0] if agree else fmean(places)
    own = 0.0 if agree else variance(places)
    prior = effect.prior(at_end=link.at_end(list(effect))) if link is link_of(effect.kind) else None
    if prior is None and n == 1:
        return None
    spread, df, how = _moderated(own, n, prior)
    sampling = link.sampling(link.back(place), effect.n)
    if spread < sampling:
        spread, how = sampling, f"{how}; binomial error of {effect.n or 'the'} strings as the least"
    held = link.beyond(effect)
    how += _scale(link) + (f"; {held}" if held else "")
    return Estimate(place=place, error=math.sqrt(spread / n), df=df, link=link, how=how)


def status(ci: tuple[float, float], threshold: float, direction: str) -> Status:
    """Supported if all of an interval lies on the claim's side of the threshold, refuted if none does. direction: >= or <=."""
    sign = 1 if direction == ">=" else -1
    worst, best = sorted(sign * (end - threshold) for end in ci)
    return Status.SUPPORTED if worst >= 0 else Status.REFUTED if best < 0 else Status.INCONCLUSIVE


def share_interval(supported: int, decided: int) -> tuple[float, float]:
    """Wilson's interval (95 %) of a share, given the number of successes and of trials, at least one."""
    from scipy.stats import binomtest

    found = binomtest(supported, decided).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def _moderated(own: float, n: int, prior: Prior | None) -> tuple[float, float, str]:
    """The variance between seeds, its degrees of freedom, and how it was found."""
    seeds = f"{n} seed{'s' * (n > 1)}"
    if prior is None:
        return own, n - 1.0, f"t, {seeds}, {n - 1} df, no prior"
    given = f"prior of {_plural(prior.kind)} {prior.stratum}, {prior.df:.1f} df, {prior.conditions} conditions"
    if n > 1 and _outlying(own, n, prior):
        return own, n - 1.0, f"t, {seeds}, {n - 1} df: more spread than the {given} has"
    df = prior.df + n - 1
    spread = (prior.df * prior.variance + (n - 1) * own) / df
    if n == 1:
        return spread, df, f"1 seed: spread from the {given}"
    return spread, df, f"moderated t, {seeds}, {df:.1f} df; {given}"


def _outlying(own: float, n: int, prior: Prior) -> bool:
    from scipy.stats import f

    return own > prior.variance and float(f.sf(own / prior.variance, n - 1, prior.df)) < OUTLYING


def _plural(kind: str) -> str:
    return {"accuracy": "accuracies", "probability": "probabilities"}.get(
        kind, kind if kind.endswith("s") else f"{kind}s"
    )


def _scale(link: Link) -> str:
    return f"; on the {link.words} scale" if link.logarithm or link.has_ends else ""
