"""From per-seed effects to a verdict: status, effect, confidence interval, margin. Knows nothing of models or pytest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from capbench.results import CapabilityState, Collateral, CollateralState, Status, Verdict
from capbench.verdicts.effects import LOWER, UPPER, Effect, effect_of
from capbench.verdicts.statistics import estimate

AGREE = 0.8  # share of the decided seeds that must be in one state, see `counting.agreed`
_WORST_FIRST = (Status.INVALID, Status.REFUTED, Status.INCONCLUSIVE, Status.SUPPORTED)


def at_least(effect: Sequence[float], threshold: float, what: str) -> Verdict:
    """The claim that the mean effect over seeds is at least `threshold`. effect: one value per seed, best an `Effect`."""
    return _decide(effect_of(effect), threshold, what, direction=">=")


def at_most(effect: Sequence[float], threshold: float, what: str) -> Verdict:
    """The claim that the mean effect over seeds is at most `threshold`."""
    return _decide(effect_of(effect), threshold, what, direction="<=")


def invalid(reason: str) -> Verdict:
    """The claim could not be put to the test."""
    return Verdict(
        status=Status.INVALID,
        effect=None,
        ci=None,
        threshold=None,
        direction=LOWER,
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
    return _of_states(found, by_seed, lambda state: state is expected, str(expected), sentence)


def state_is_not(
    found: CapabilityState,
    by_seed: Mapping[int, CapabilityState],
    excluded: CapabilityState,
    sentence: str,
    *,
    rest: Collateral | None = None,
) -> Verdict:
    """The claim that a model is in another state than the excluded one, which alone refutes it; see `state_is`.

    rest: what became of everything else, where that state refutes the claim only if the rest was kept.
    """
    which = f"not {excluded}"
    if found is excluded and rest is not None and rest.state is not CollateralState.KEPT:
        which += " alone"
        sentence += f"; other abilities are {rest.state}, the worst, {rest.worst}, keeps {rest.value:.2f}"
        return _of_states(found, by_seed, lambda state: True, which, sentence)
    return _of_states(found, by_seed, lambda state: state is not excluded, which, sentence)


def _of_states(
    found: CapabilityState,
    by_seed: Mapping[int, CapabilityState],
    holds: Callable[[CapabilityState], bool],
    which: str,
    sentence: str,
) -> Verdict:
    of_seed = [None if s is CapabilityState.UNDECIDED else float(holds(s)) for s in by_seed.values()]
    decided = [value for value in of_seed if value is not None]
    effect = fmean(decided) if decided else None
    status = Status.SUPPORTED if holds(found) else Status.REFUTED
    if found is CapabilityState.UNDECIDED:
        status = Status.INCONCLUSIVE
    return Verdict(
        status=status,
        effect=effect,
        ci=None,
        threshold=AGREE,
        direction=">=",
        margin=None if effect is None else effect - AGREE,
        n_seeds=len(by_seed),
        per_seed=tuple(of_seed),
        what=f"share of decided seeds that are {which}",
        reason=f"{found}: {sentence}",
        how="states are counted over the seeds",
        provisional=len(by_seed) == 1,
    )


def all_of(*parts: Verdict) -> Verdict:
    """A claim with several conditions.

    It is supported if each part is, at the full alpha: all of them would have to err (intersection-union test, Berger 1982). It
    is refuted if one part is at alpha divided by the number of parts: any of them may err (Bonferroni, the least p-value). The
    worst part is shown, and the reason gives the others. Parts of equal status are shown in the order given; their margins are
    on different scales and not compared.
    """
    if not parts:
        raise ValueError("a claim needs at least one condition")
    held = [_among(part, len(parts)) for part in parts]
    shown = min(held, key=lambda v: _WORST_FIRST.index(v.status))
    others = [words(v) for v in held if v is not shown]
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


def _among(part: Verdict, parts: int) -> Verdict:
    """A part of a claim with several: refuted only if its p-value is at most its share of alpha."""
    if part.status is not Status.REFUTED or part.p_refuted is None or part.p_refuted <= part.alpha / parts:
        return part
    why = (
        f"{part.what or 'the effect'} alone would be refuted (p = {part.p_refuted:.2g}), but as one of {parts} conditions "
        f"its p must be at most {part.alpha / parts:.2g}"
    )
    return replace(part, status=Status.INCONCLUSIVE, reason=why)


def _decide(effect: Effect, threshold: float, what: str, *, direction: str) -> Verdict:
    if not effect:
        return invalid(f"nothing was measured for '{what}'")
    for value in effect:
        if not math.isfinite(value):
            raise ValueError(f"{what} must be a finite number on every seed, got {value!r}")
    sign = 1 if direction == LOWER else -1
    found = estimate(effect, at=[threshold])
    mean = fmean(effect) if found is None else found.value
    decided = Verdict(
        status=Status.INCONCLUSIVE,
        effect=mean,
        ci=None if found is None else found.interval(effect.alpha),
        threshold=threshold,
        direction=direction,
        margin=sign * (mean - threshold),
        n_seeds=len(effect),
        per_seed=tuple(effect),
        what=what,
        provisional=len(effect) == 1,
        alpha=effect.alpha,
    )
    if found is None:
        why = f"one seed of {what or 'the effect'}, and no prior for its spread: no interval"
        return replace(decided, reason=why, how="one seed, no prior")
    low, high = found.below(threshold), found.above(threshold)
    in_favour, against = (low, high) if direction == LOWER else (high, low)
    # A bound says where the true value is not; it can only speak for that side.
    if _other(direction) in effect.bounds:
        in_favour = 1.0
    if direction in effect.bounds:
        against = 1.0
    status = (
        Status.SUPPORTED
        if in_favour <= effect.alpha
        else Status.REFUTED
        if against <= effect.alpha
        else Status.INCONCLUSIVE
    )
    decided = replace(decided, status=status, p_supported=in_favour, p_refuted=against, how=_how(effect, found.how))
    censored = sum(map(bool, effect.bounds))
    notes = [shortfall(decided), f"{censored} of {len(effect)} values are bounds" if censored else ""]
    notes.append("provisional: one seed" if decided.provisional else "")
    return replace(decided, reason="; ".join(filter(None, notes)))


def _other(direction: str) -> str:
    return UPPER if direction == LOWER else LOWER


def _how(effect: Effect, how: str) -> str:
    return f"{how}; {effect.look}" if effect.look else how
