"""Measures what rounding does, from two runs that differ in nothing else: same code, same seeds, other rounding."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from capbench.compare.claim_rows import by_seed
from capbench.compare.pairing import mean
from capbench.compare.quantities import comparable, kind_of_claim, kind_of_unit, measured
from capbench.errors import UsageError
from capbench.results import Results
from capbench.verdicts.rounding import ANY

Values = Mapping[int, float | None]


class Condition(NamedTuple):
    """One figure that both runs have: the variance that rounding gave a run, with its seeds, and the variance between seeds."""

    kind: str
    rounded: float
    seeds: int
    between: float


def noise(pairs: Iterable[tuple[Results, Results]]) -> dict[str, dict[str, float | int]]:
    """What `rounding.json` holds: for each kind of quantity, and for all together, the numbers of `Rounding`.

    Figures that rounding did not move at all say nothing of how far it moves others and are left out: most of them lie at 0 or 1.
    """
    conditions = [found for a, b in pairs for found in _conditions(a, b) if found.rounded > 0]
    kinds = sorted({found.kind for found in conditions} - {ANY})
    if not kinds:
        raise UsageError(
            "nothing differs between these runs; give runs of the same seeds whose trainings round differently"
        )
    by_kind = {kind: _fitted([found for found in conditions if found.kind == kind]) for kind in kinds}
    shares = [by_kind[found.kind]["share"] for found in conditions if found.kind in by_kind]
    unknown = {"share": mean(shares) or 0.0, "variance": 0.0, "df": 0.0, "conditions": len(shares)}
    return {**by_kind, ANY: unknown}


def _conditions(a: Results, b: Results) -> Iterator[Condition]:
    seen = set()
    for kind, left, right in _figures(a, b):
        kind, known = comparable(kind, left, right)
        shared = sorted(known[0].keys() & known[1].keys())
        first, second = ([values[seed] for seed in shared] for values in known)
        if len(shared) < 2 or (kind, *first, *second) in seen:
            continue  # the same figure may stand in several claims
        seen.add((kind, *first, *second))
        squares = [(y - x) ** 2 for x, y in zip(first, second, strict=True)]
        rounded = math.fsum(squares) / len(shared) / 2  # a difference has the rounding of two runs
        yield Condition(kind, rounded, len(shared), (_variance(first) + _variance(second)) / 2)


def _figures(a: Results, b: Results) -> Iterator[tuple[str, Values, Values]]:
    records = {(r.id, r.model, r.task, r.method, r.verdict.what): r for r in a.records}
    for after in b.records:
        before = records.get((after.id, after.model, after.task, after.method, after.verdict.what))
        if before is not None:
            yield kind_of_claim(after.verdict), by_seed(before), by_seed(after)
    tools = {(c.id, c.model, c.method, e.tool): e for c in a.capabilities for e in c.evidence}
    for judged in b.capabilities:
        for found in judged.evidence:
            earlier = tools.get((judged.id, judged.model, judged.method, found.tool))
            if earlier is not None:
                yield kind_of_unit(found.unit), measured(earlier), measured(found)


def _variance(values: Sequence[float]) -> float:
    centre = mean(values) or 0.0
    return math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1)


def _fitted(found: Sequence[Condition]) -> dict[str, float | int]:
    """The share, as a ratio of sums, and the variance over conditions as a scaled inverse chi-square.

    The latter by the moments of its logarithm (Smyth 2004, section 6.2).
    """
    from scipy.special import digamma, polygamma

    share = math.fsum(c.rounded for c in found) / (math.fsum(c.between for c in found) or math.inf)
    if len(found) < 2:
        return {"share": share, "variance": found[0].rounded, "df": 0.0, "conditions": len(found)}
    own = [c.seeds / 2 for c in found]  # half the degrees of freedom: under rounding alone the mean difference is zero
    logs = [math.log(c.rounded) - float(digamma(d)) + math.log(d) for c, d in zip(found, own, strict=True)]
    centre = math.fsum(logs) / len(logs)
    excess = _variance(logs) - math.fsum(float(polygamma(1, d)) for d in own) / len(own)
    most = math.fsum(own)  # half the degrees of freedom of all that was measured: no estimate from it has more
    half = min(_inverse_trigamma(excess), most) if excess > 0 else most
    variance = math.exp(centre + float(digamma(half)) - math.log(half))
    return {"share": share, "variance": variance, "df": 2 * half, "conditions": len(found)}


def _inverse_trigamma(value: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import polygamma

    return float(brentq(lambda x: float(polygamma(1, x)) - value, 1e-6, 1e8))
