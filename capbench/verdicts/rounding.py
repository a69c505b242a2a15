"""How much a training that only rounds differently moves a figure, as measured on two runs of the same seeds.

Two trainings of one seed part when anything is added in another order (threads, versions of torch, stacks), and may end as far
apart as two seeds do. `python benchmarks/rounding.py RUN_A RUN_B` measures that and writes rounding.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("rounding.json")
ANY = "any"  # of quantities whose kind was not measured
MOST = 1.0  # what rounding moves is part of what differs between seeds; a larger share was measured by chance


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """What rounding does to one kind of quantity.

    share: variance that rounding alone gives one run, over the variance between seeds; conditions: on how many it was measured.
    variance, df: of that variance over conditions, as a scaled inverse chi-square; few degrees of freedom say that conditions
    differ much, so that a condition's own seeds count for more. Ratios are taken as logarithms.
    """

    kind: str
    share: float
    variance: float
    df: float
    conditions: int

    def of(self, between: float, df: float) -> tuple[float, float]:
        """The variance due to rounding, with its degrees of freedom, where seeds differ by the variance `between` (from df)."""
        total = self.df + df
        known = min(self.share, MOST) * between
        return ((self.df * self.variance + df * known) / total, total) if total else (self.variance, 0.0)


def rounding(kind: str) -> Rounding:
    """What was measured for this kind, or for all kinds together."""
    found = _kept()
    return found.get(kind) or found[ANY]


@cache
def _kept() -> Mapping[str, Rounding]:
    kinds = json.loads(FILE.read_text(encoding="utf-8"))["kinds"]
    return {kind: Rounding(kind=kind, **numbers) for kind, numbers in kinds.items()}
