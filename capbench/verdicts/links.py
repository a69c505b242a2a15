"""The scale on which each kind of quantity is averaged over seeds, so that its spread hardly depends on its size.

Ratios and times are compared as logarithms; accuracies, and what is made of them, as started logits (Tukey 1977, ch. 15). The
start keeps the ends of the scale finite: on a plain logit an accuracy of 1 would be anywhere, depending on the sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

START = 0.02  # added to both sides of a share
SAMPLE = 512  # strings, where an accuracy does not say how many it is of


@dataclass(frozen=True, kw_only=True)
class Link:
    """The scale of one kind of quantity. `forward` leads to it, `back` from it; both increase.

    words: its name. low, high: the ends of a quantity that has ends.
    """

    words: str
    low: float = -math.inf
    high: float = math.inf
    start: float = 0.0
    logarithm: bool = False
    binomial: bool = False  # the share of a sample, or a difference of two
    open: bool = False  # values beyond the ends exist, and count as far as the scale reaches
    near: float = 0.0  # how near to an end counts as at the end

    @property
    def has_ends(self) -> bool:
        """Whether the quantity is a share of something."""
        return math.isfinite(self.low)

    def takes(self, value: float) -> bool:
        """Whether this scale has a place for the value."""
        return value > 0 if self.logarithm else not self.has_ends or self.open or self.low <= value <= self.high

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the largest value that this scale tells from those beyond."""
        beyond = 0.95 * self.start * (self.high - self.low) if self.open else 0.0
        return self.low - beyond, self.high + beyond

    def beyond(self, values: Iterable[float]) -> str:
        """What a reader must know of values that count as less, or as more, than they are; '' if there are none."""
        low, high = self.reach
        held = sorted({min(max(value, low), high) for value in values if not low <= value <= high})
        return f"values beyond {' and '.join(f'{end:g}' for end in held)} count as that" if held else ""

    def forward(self, value: float) -> float:
        """The value on the scale; one beyond its reach is at the end of it."""
        if self.logarithm:
            return math.log(value)
        if not self.has_ends:
            return value
        share = (value - self.low) / (self.high - self.low)
        share = min(max(share, -0.95 * self.start), 1 + 0.95 * self.start)
        return math.log((share + self.start) / (1 - share + self.start))

    def back(self, place: float) -> float:
        """The value at a place of the scale; places beyond the ends give the ends."""
        if self.logarithm:
            return math.exp(min(place, 700.0))
        if not self.has_ends:
            return place
        share = (1 + 2 * self.start) / (1 + math.exp(-min(max(place, -500.0), 500.0))) - self.start
        found = self.low + share * (self.high - self.low)
        return found if self.open else min(max(found, self.low), self.high)

    def sampling(self, value: float, n: int) -> float:
        """The variance on the scale that comes of asking n strings only (0: their number is not known).

        A difference is taken for one of two samples with the most variance that it allows.
        """
        if not self.binomial:
            return 0.0
        n = n or SAMPLE
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        held = (share * n + 0.5) / (n + 1)
        samples = 2 if self.low < 0 else 1
        slope = 1 / (share + self.start) + 1 / (1 - share + self.start)
        return samples * held * (1 - held) / n * slope**2 / samples**2

    def at_end(self, values: list[float]) -> bool:
        """Whether all values are as good as at one of the ends, or a difference as good as none."""
        if not self.has_ends:
            return False
        ends = [self.low, self.high, *([0.0] if self.low < 0 else [])]
        return any(all(abs(value - end) <= self.near for value in values) for end in ends)


IDENTITY = Link(words="as it is")
_LOGARITHM = Link(words="logarithm", logarithm=True)
_SHARE = Link(words="logit", low=0.0, high=1.0, start=START, binomial=True, near=0.02)
LINKS = {
    "accuracy": _SHARE,
    "share": _SHARE,
    "difference": Link(words="logit", low=-1.0, high=1.0, start=START, binomial=True, near=0.02),
    "probability": Link(words="logit", low=0.0, high=1.0, start=START, open=True, near=0.02),
    "retention": Link(words="logit", low=0.0, high=1.0, start=0.1, open=True, near=0.05),
    "ratio": _LOGARITHM,
    "steps": _LOGARITHM,
    "classes": _LOGARITHM,
    "bits/sample": IDENTITY,
}


def link_of(kind: str, *values: float) -> Link:
    """The scale of a kind of quantity; as it is for kinds without one, and where a value has no place on it."""
    link = LINKS.get(kind, IDENTITY)
    return link if all(map(link.takes, values)) else IDENTITY
