"""Fitting the priors of the spread between seeds to reference runs. Needs scipy; runs once, by `capbench priors`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capbench.results import Measurement, Results
from capbench.verdicts.effects import ALPHA
from capbench.verdicts.links import LINKS, link_of
from capbench.verdicts.priors import ENDS, MIDDLE, Prior
from capbench.verdicts.statistics import CONFIDENCE

FEWEST = 8  # conditions that a prior needs
LEAST_DF, MOST_DF = 1.0, 20.0  # a prior counts for at least one and at most this many seeds …
PER_DF = 2  # … and for one only per two conditions: few cannot tell how much spreads differ
_GAINS = frozenset({"gain", "cost", "random_loss"})
# Parts of names of what is not about a fine-tuned model: its spread is another.
_OTHERS = frozenset({"base", "never", "initial", "scr", "scrft", "start", "natural", "untrained"})


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One quantity of one kind of model, measured on several seeds. n: strings that each value is of."""

    kind: str
    scale: str
    name: str
    values: tuple[float, ...]
    n: int


def conditions(runs: Iterable[Results]) -> list[Condition]:
    """Every quantity of a fine-tuned model that was measured on two seeds or more, once each."""
    found: dict[tuple[str, ...], dict[int, Measurement]] = {}
    for run in runs:
        for record in run.records:
            case = json.dumps(dict(record.protocol), sort_keys=True)
            for m in record.measurements:
                if m.is_number and m.value is not None and _kind(m) and _is_of_a_tuned_model(m):
                    key = (run.run.scale, record.task, case, record.method, m.name)
                    found.setdefault(key, {})[m.seed] = m
    once: dict[tuple[object, ...], Condition] = {}
    for (scale, *where), by_seed in found.items():
        measured = [by_seed[seed] for seed in sorted(by_seed)]
        values = tuple(m.value for m in measured if m.value is not None)
        kind, n = _kind(measured[0]), measured[0].n
        if len(values) > 1 and link_of(kind, *values) is LINKS[kind]:
            condition = Condition(kind=kind, scale=scale, name=" ".join(where), values=values, n=n)
            # The same model under two tests, or a base model's part of two cases, counts once.
            once.setdefault((scale, where[0], where[-1], values), condition)
    return list(once.values())


def fit(found: Sequence[Condition]) -> list[Prior]:
    """A prior for each kind, scale and stratum that enough conditions speak of."""
    groups: dict[tuple[str, str], list[Condition]] = {}
    for condition in found:
        groups.setdefault((condition.kind, condition.scale), []).append(condition)
    priors = []
    for (kind, scale), same in sorted(groups.items()):
        for stratum in (MIDDLE, ENDS):
            spreads = [s for condition in same if (s := _spreads(condition, stratum))]
            if len(spreads) >= FEWEST:
                df, variance = _fitted([pair for s in spreads for pair in s], len(spreads))
                priors.append(
                    Prior(kind=kind, scale=scale, stratum=stratum, df=df, variance=variance, conditions=len(spreads))
                )
    return priors


def to_json(priors: Sequence[Prior], command: str) -> str:
    """The content of the file of priors. command: that made it."""
    rows: list[Mapping[str, object]] = [
        {**vars(prior), "df": round(prior.df, 2), "variance": float(f"{prior.variance:.4g}")} for prior in priors
    ]
    return json.dumps({"command": command, "priors": rows}, indent=1) + "\n"


def _kind(m: Measurement) -> str:
    """The kind of quantity; '' for one that gets no prior. Reports of schemas 1 to 7 called gains and costs accuracies, too."""
    parts = m.name.split(".")
    if m.unit == "accuracy" and (not _GAINS.isdisjoint(parts) or (parts[0] == "value" and "pruning" in parts[1])):
        return "difference"
    return m.unit if m.unit in LINKS else ""


def _is_of_a_tuned_model(m: Measurement) -> bool:
    return _OTHERS.isdisjoint(m.name.replace("_", ".").split("."))


def _spreads(condition: Condition, stratum: str) -> list[tuple[float, float]]:
    """Half the squared difference of any two seeds, with what sampling alone gives, in a stratum.

    The stratum goes by one seed of the two. Were it to go by both, those that are at an end by chance would look
    as if they had no spread, and the prior would be too tight.
    """
    link = LINKS[condition.kind]
    pairs = []
    for i, value in enumerate(condition.values):
        if link.at_end([value]) is (stratum == ENDS):
            for j, other in enumerate(condition.values):
                if i != j:
                    half = (link.forward(value) - link.forward(other)) ** 2 / 2
                    pairs.append((half, link.sampling((value + other) / 2, condition.n)))
    return pairs


def _fitted(pairs: Sequence[tuple[float, float]], n: int) -> tuple[float, float]:
    """(df, variance) of the prior. n: conditions that the pairs are of.

    df: under which half squared differences of two seeds, which are F(1, df) times the variance, are most likely. What is below
    the error of sampling, or below a tenth of all, is only known to be so small (left-censored): tiny spreads say nothing about
    large ones, which are those that mislead. variance: then such that the interval of one seed is as wide as it has to be: that
    of a difference of two seeds holds 95 % of those seen.
    """
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import betainc, betaln
    from scipy.stats import t

    halves, sampling = (np.array(column) for column in zip(*pairs, strict=True))
    limit = np.maximum(sampling, max(float(np.quantile(halves, 0.1)), 1e-8))
    seen = halves > limit

    def surprise(at: Any) -> float:
        df, scale = math.exp(min(float(at[0]), math.log(MOST_DF))), math.exp(float(at[1]))
        x, below = halves[seen] / scale, limit[~seen] / scale
        density = -np.log(x) / 2 - (df + 1) / 2 * np.log1p(x / df) - math.log(df) / 2 - betaln(0.5, df / 2)
        smaller = np.log(np.maximum(betainc(0.5, df / 2, below / (below + df)), 1e-300))
        return -float((density - math.log(scale)).sum() + smaller.sum())

    start = math.log(max(float(np.median(halves)), 1e-8))
    tries = [
        minimize(surprise, np.array([math.log(df), start]), method="Nelder-Mead") for df in (LEAST_DF, 4.0, MOST_DF)
    ]
    best = min(tries, key=lambda found: float(found.fun))
    df = min(max(math.exp(float(best.x[0])), LEAST_DF), MOST_DF, max(n / PER_DF, LEAST_DF))
    widest = max(float(np.quantile(halves, CONFIDENCE)), float(np.median(sampling)))
    return df, widest / float(t.isf(ALPHA, df)) ** 2
