"""A method in one number: a mean over cases, with an interval from a bootstrap that draws seeds within each case.

That is the stratified bootstrap of Agarwal et al. 2021 ("Deep reinforcement learning at the edge of the statistical precipice",
arXiv:2108.13264, the library rliable): the cases are the fixed set that they are, and only seeds are drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping

from capbench.compare.leaderboard.standings import Score
from capbench.compare.pairing import mean
from capbench.verdicts.statistics import CONFIDENCE

RESAMPLES = 4000


def score(by_case: Mapping[str, Mapping[int, float]]) -> Score:
    """The mean over cases of the mean over seeds, each case with the same weight whatever its number of seeds.

    by_case: for each case the score by seed; a case without any is left out. No interval where a case has one seed only, as
    one seed has no spread.
    """
    known = {case: [by_seed[seed] for seed in sorted(by_seed)] for case, by_seed in sorted(by_case.items()) if by_seed}
    means = [found for values in known.values() if (found := mean(values)) is not None]
    alone = any(len(values) == 1 for values in known.values())
    ci = None if alone or not known else _bootstrap(list(known.values()))
    return Score(value=mean(means), ci=ci, cases=len(known))


def _bootstrap(known: list[list[float]]) -> tuple[float, float]:
    import numpy as np

    random = np.random.default_rng(0)  # the same table for the same runs
    drawn = np.zeros(RESAMPLES)
    for values in known:
        drawn += random.choice(values, size=(RESAMPLES, len(values))).mean(axis=1)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn / len(known), [tail, 100 - tail])
    return float(low), float(high)
