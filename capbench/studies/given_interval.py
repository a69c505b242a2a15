"""A verdict on a value whose interval is known: of known models, of items, of what is the same for every seed."""

from __future__ import annotations

from dataclasses import replace

from capbench.results import Status, Verdict
from capbench.verdicts.claims import shortfall
from capbench.verdicts.statistics import status


def of_interval(
    found: tuple[float, tuple[float, float] | None] | None,
    least: float,
    what: str,
    *,
    how: str,
    seeds: int,
    per_seed: tuple[float, ...] = (),
    provisional: bool = False,
    reason: str = "",
    none: str = "",
) -> Verdict:
    """The condition that the whole interval is at least this; without an interval, that the value is.

    found: the value and its interval; None where there is no value, and the verdict is invalid. none: why there is none. reason:
    what else is said of it, whether it holds or not.
    """
    if found is None:
        return Verdict(
            status=Status.INVALID,
            effect=None,
            ci=None,
            threshold=least,
            direction=">=",
            margin=None,
            n_seeds=seeds,
            what=what,
            reason=none,
        )
    value, ci = found
    decided = Verdict(
        status=status(ci or (value, value), least, ">="),
        effect=value,
        ci=ci,
        threshold=least,
        direction=">=",
        margin=value - least,
        n_seeds=seeds,
        per_seed=per_seed,
        what=what,
        how=how,
        provisional=provisional,
    )
    return replace(decided, reason="; ".join(filter(None, [shortfall(decided), reason])))
