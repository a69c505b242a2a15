"""Several looks at one claim: more seeds only while it is undecided, with the error rate of the whole kept.

Who looks again at more data wherever the first look decided nothing, and each time at the full error rate, errs more often than
that rate says. So the rate is spent bit by bit. Of K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical
trials", Biometrika 70 (1983), this is the spending function that comes close to Pocock's boundaries:

    spent(t) = alpha * ln(1 + (e - 1) t),    t = seeds so far / seeds of the last look

Each look is made at what is spent since the one before. The sum of these is alpha, so that by Bonferroni's inequality a claim
whose effect lies at the threshold is wrongly decided in at most that share of runs, however the looks hang together. (Lan and
DeMets' own bounds use the correlation of the looks, which is known only where the variance is.) A function such as O'Brien and
Fleming's would leave the first look, which most claims end with, nearly nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from capbench.verdicts.effects import ALPHA

SEEDS = (3, 5, 8, 12)  # at each look, those of the looks before included


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a claim. number: from 0. alpha: the one-sided error rate that it may spend. last: whether no other follows.

    words: which one it is; '' for the only one.
    """

    number: int = 0
    alpha: float = ALPHA
    last: bool = True
    words: str = ""


ONLY = Look()


def spent(seeds: int) -> float:
    """The one-sided error rate that is spent when so many seeds were looked at."""
    return ALPHA * math.log1p((math.e - 1) * seeds / SEEDS[-1])


def look(number: int) -> Look:
    """The look of this number, from 0."""
    alpha = spent(SEEDS[number]) - (spent(SEEDS[number - 1]) if number else 0.0)
    words = f"look {number + 1} of {len(SEEDS)}, at {SEEDS[number]} seeds: one-sided alpha {alpha:.4f} of {ALPHA:g}"
    return Look(number=number, alpha=alpha, last=SEEDS[number] == SEEDS[-1], words=words)
