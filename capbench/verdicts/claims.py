"""From per-seed effects to a verdict: status, effect, confidence interval, margin. Knows nothing of models or pytest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean

from capbench.results import CapabilityState, Status, Verdict
from capbench.verdicts.statistics import interval, status

AGREE = 0.8  # share of the decided seeds that must be in one state, see `counting.agreed`
_WORST_FIRST = (Status.INVALID, Status.REFUTED, Status.INCONCLUSIVE, Status.SUPPORTED)


def at_least(per_seed: Sequence[float], threshold: float, what: str) -> Verdict:
    """The claim that the mean effect over seeds is at least `threshold`."""
    return _decide(per_seed, threshold, what, direction=">=")


def at_most(per_seed: Sequence[float], threshold: float, what: str) -> Verdict:
    """The claim that the mean effect over seeds is at most `threshold`."""
    return _decide(per_seed, threshold, what, direction="<=")


def invalid(reason: str) -> Verdict:
    """The claim could not be put to the test."""
    return Verdict(
        status=Status.INVALID,
        effect=None,
        ci=None,
        threshold=None,
        direction=">=",
        margin=None,
        n_seeds=0,
        reason=reason,
    )


def of_destroyed(found: Verdict, lost: Mapping[int, str], n_seeds: int) -> Verdict:
    """A claim about a model that is destroyed on some seeds: invalid if on all of them, else at best inconclusive.

    lost: what is left of the model, in words, on the seeds on which it is destroyed.
    """
    seed, left = next(iter(lost.items()))
    if len(lost) == n_seeds:
        return invalid(f"the fine-tuned model is destroyed on every seed: seed {seed}: {left}")
    why = f"the fine-tuned model is destroyed on {len(lost)} of {n_seeds} seeds: seed {seed}: {left}"
    return replace(found, status=Status.INCONCLUSIVE, reason="; ".join(filter(None, [why, found.reason])))


def state_is(
    found: CapabilityState, by_seed: Mapping[int, CapabilityState], expected: CapabilityState, sentence: str
) -> Verdict:
    """The claim that a model is in the expected state.

    found: its state over all seeds, by the rule of the capability verdict, with the sentence that says why; by_seed: that of
    each seed. An undecided state leaves the claim inconclusive, any other than the expected one refutes it. effect: share of
    the decided seeds that are in the expected state; None if none is decided.
    """
    of_seed = [None if s is CapabilityState.UNDECIDED else float(s is expected) for s in by_seed.values()]
    decided = [value for value in of_seed if value is not None]
    effect = mean(decided) if decided else None
    status = (
        Status.SUPPORTED
        if found is expected
        else Status.INCONCLUSIVE
        if found is CapabilityState.UNDECIDED
        else Status.REFUTED
    )
    return Verdict(
        status=status,
        effect=effect,
        ci=None,
        threshold=AGREE,
        direction=">=",
        margin=None if effect is None else effect - AGREE,
        n_seeds=len(by_seed),
        per_seed=tuple(of_seed),
        what=f"share of decided seeds that are {expected}",
        reason=f"{found}: {sentence}",
        how="states are counted over the seeds",
        provisional=len(by_seed) == 1,
    )


def all_of(*parts: Verdict) -> Verdict:
    """A claim with several conditions: as good as its worst one, which is shown; the reason gives the others.

    Conditions of equal status are shown in the order given; their margins are on different scales and not compared.
    """
    if not parts:
        raise ValueError("a claim needs at least one condition")
    shown = min(parts, key=lambda v: _WORST_FIRST.index(v.status))
    others = [words(v) for v in parts if v is not shown]
    return replace(shown, reason="; ".join(filter(None, [shown.reason, *(f"also {other}" for other in others)])))


def words(v: Verdict) -> str:
    """One line: the quantity, its effect and interval, the threshold, the margin."""
    if v.effect is None:
        return f"{v.status}: {v.reason}"
    ci = f" [{v.ci[0]:.3g}, {v.ci[1]:.3g}]" if v.ci else ""
    return f"{v.what} {v.effect:.3g}{ci} {v.direction} {v.threshold:g}: {v.status} (margin {v.margin:+.3g})"


def shortfall(v: Verdict) -> str:
    """Why a claim is refuted or inconclusive: the quantity, and how far it is from the threshold; '' for other verdicts."""
    if v.status not in (Status.REFUTED, Status.INCONCLUSIVE) or v.effect is None or v.threshold is None:
        return ""
    what, distance = v.what or "the effect", v.effect - v.threshold
    ci = f" [{v.ci[0]:.3g}, {v.ci[1]:.3g}]" if v.ci else ""
    where = f"{abs(distance):.3g} {'above' if distance > 0 else 'below'}" if distance else "at"
    if v.status is Status.REFUTED:
        return f"{what} is {v.effect:.3g}{ci}, {where} the threshold {v.threshold:g}"
    straddles = f"the interval{ci} of {what} straddles the threshold {v.threshold:g}"
    return f"{straddles}; its mean, {v.effect:.3g}, is {where} {'it' if distance else 'the threshold'}"


def _decide(per_seed: Sequence[float], threshold: float, what: str, *, direction: str) -> Verdict:
    if not per_seed:
        return invalid(f"nothing was measured for '{what}'")
    for value in per_seed:
        if not math.isfinite(value):
            raise ValueError(f"{what} must be a finite number on every seed, got {value!r}")
    sign = 1 if direction == ">=" else -1
    effect = mean(per_seed)
    ci = interval(per_seed)
    found = Verdict(
        status=status(ci or (effect, effect), threshold, direction),
        effect=effect,
        ci=ci,
        threshold=threshold,
        direction=direction,
        margin=sign * (effect - threshold),
        n_seeds=len(per_seed),
        per_seed=tuple(per_seed),
        what=what,
    )
    alone = "one seed: no interval" if ci is None else ""
    return replace(found, reason="; ".join(filter(None, [shortfall(found), alone])))
