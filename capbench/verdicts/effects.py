"""A quantity as it was measured: a value per seed, and what is known of it. What statistics is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from capbench.verdicts.priors import ENDS, MIDDLE, Prior, find

ALPHA = 0.025  # one-sided error of a decision: the 95 % interval lies on one side of the threshold
LOWER, UPPER = ">=", "<="  # a value that was censored: what was measured is at least, or at most, this


class Effect(list[float]):
    """The values of a quantity, one per seed; a list of numbers in every other respect.

    kind: as in `capbench.verdicts.links`, mostly the unit. scale: at which it was measured; with the kind it gives the prior.
    n: strings that each value is of, 0 where that is not known. bounds: by place, LOWER or UPPER where the value is only a bound
    of the true one, else ''. alpha: the one-sided error that a decision may spend now; look: which of several looks this is.
    priors: by stratum, in place of those of the package.
    """

    def __init__(
        self,
        values: Iterable[float] = (),
        *,
        kind: str = "",
        scale: str = "",
        n: int = 0,
        bounds: Sequence[str] = (),
        alpha: float = ALPHA,
        look: str = "",
        priors: Mapping[str, Prior] | None = None,
    ) -> None:
        super().__init__(values)
        self.kind, self.scale, self.n, self.alpha, self.look = kind, scale, n, alpha, look
        self.priors = priors
        self.bounds = tuple(bounds) or ("",) * len(self)

    def prior(self, *, at_end: bool) -> Prior | None:
        """What is known of its spread: of effects that are as good as at an end of their scale on every seed, or of others."""
        stratum = ENDS if at_end else MIDDLE
        return find(self.kind, self.scale, stratum) if self.priors is None else self.priors.get(stratum)

    def like(self, values: Iterable[float], **known: Any) -> Effect:
        """Other values of which the same is known, except for what is given. No bounds are taken over."""
        mine = {name: value for name, value in vars(self).items() if name != "bounds"}
        return Effect(values, **{**mine, **known})


def effect_of(values: Sequence[float]) -> Effect:
    """An effect as it is; of plain numbers nothing else is known."""
    return values if isinstance(values, Effect) else Effect(values)


def worst(*effects: Effect) -> Effect:
    """The lowest of several quantities, seed by seed."""
    return effects[0].like([min(values) for values in zip(*effects, strict=True)])


def difference(a: Effect, b: Effect) -> Effect:
    """One quantity minus another, seed by seed. Only differences of accuracies have a scale of their own."""
    kind = "difference" if {a.kind, b.kind} <= {"accuracy", "share"} else ""
    return a.like([x - y for x, y in zip(a, b, strict=True)], kind=kind, n=min(a.n, b.n))


def ratio(a: Effect, b: Effect) -> Effect:
    """One quantity as a share of another of its kind, seed by seed: of the same kind, as it spreads likewise."""
    return a.like([x / y for x, y in zip(a, b, strict=True)])


def trend(*effects: Effect) -> Effect:
    """How far several quantities grow from the first to the last, seed by seed: Kendall's tau-a with their order, -1..1.

    The share of pairs that grow minus that of those that fall; ties are neither, so that quantities that are all the same have 0.
    With one value per group it is Jonckheere's statistic (1954) over its largest value.
    """
    pairs = [(i, j) for j in range(len(effects)) for i in range(j)]
    by_seed = zip(*effects, strict=True)
    return effects[0].like(
        [sum((v[j] > v[i]) - (v[j] < v[i]) for i, j in pairs) / len(pairs) for v in by_seed], kind="trend", n=0
    )
