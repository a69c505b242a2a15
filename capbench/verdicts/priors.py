"""What is known of the spread between seeds before an effect is measured: priors fitted to reference runs, kept as data.

`capbench priors REPORT … --to FILE` makes the file (capbench/verdicts/fitting.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

FILE = "priors.json"
MIDDLE, ENDS = (
    "between the ends",
    "at an end",
)  # strata of conditions: where all seeds are as good as at an end, spread is another


@dataclass(frozen=True, kw_only=True)
class Prior:
    """The variance between seeds of a kind of quantity: scaled inverse chi-squared with df degrees of freedom (Smyth 2004).

    variance: its scale, on that of the kind's link. conditions: how many it was fitted to.
    """

    kind: str
    scale: str
    stratum: str
    df: float
    variance: float
    conditions: int


def find(kind: str, scale: str, stratum: str = MIDDLE) -> Prior | None:
    """The prior of a kind of quantity at a scale; None where no reference runs give one. Scales are never mixed."""
    return kept().get((kind, scale, stratum))


@cache
def kept() -> Mapping[tuple[str, str, str], Prior]:
    """All priors of the package, by kind, scale and stratum."""
    file = resources.files("capbench.verdicts") / FILE
    return by_name(json.loads(file.read_text(encoding="utf-8"))["priors"])


def by_name(raw: Sequence[Mapping[str, Any]]) -> Mapping[tuple[str, str, str], Prior]:
    """Priors from plain data."""
    found = [Prior(**each) for each in raw]
    return {(prior.kind, prior.scale, prior.stratum): prior for prior in found}
