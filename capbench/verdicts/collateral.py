"""What became of everything else that the base model knew, and whether a model is destroyed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean

from capbench.results import Collateral, CollateralState
from capbench.verdicts.counting import agreed
from capbench.verdicts.values import Values

KNOWN = 0.95  # accuracy from which a base model knows a family and operand
KEPT, LOST = 0.90, 0.50  # share of the base model's accuracy: kept at or above, lost at or below
BEFORE, AFTER = "before", "others"  # as in tuned.before.I.c and tuned.others.I.c
_WORST_FIRST = (CollateralState.LOST, CollateralState.DAMAGED, CollateralState.KEPT)


def shares(values: Values, model: str = "tuned") -> dict[int, dict[str, float]]:
    """By seed: accuracy on each of the others that the base model knew, as a share of the base model's.

    Seeds on which nothing was measured, or on which the base model knew nothing else, have no entry.
    """
    found: dict[int, dict[str, float]] = {}
    start = f"{model}.{BEFORE}."
    for name, before in values.items():
        if name.startswith(start):
            other = name.removeprefix(start)
            after = values.get(f"{model}.{AFTER}.{other}", {})
            for seed in before.keys() & after.keys():
                knew, knows = before[seed].value, after[seed].value
                if knew is not None and knows is not None and knew >= KNOWN:
                    found.setdefault(seed, {})[other] = knows / knew
    return dict(sorted(found.items()))


def collateral(by_seed: Mapping[int, Mapping[str, float]], seeds: Iterable[int]) -> Collateral | None:
    """What `shares` come to, each seed judged by its worst share; None without any.

    Over seeds the states are counted, as those of the capability are. Where that decides nothing, the worst of them stands:
    damage on some seeds is damage.
    """
    if not by_seed:
        return None
    lowest = {seed: min(of_seed.values()) for seed, of_seed in by_seed.items()}
    states = {seed: _state(share) for seed, share in lowest.items()}
    per_seed = {seed: lowest.get(seed) for seed in sorted({*seeds, *by_seed})}
    means = {name: fmean(_of(name, by_seed)) for of_seed in by_seed.values() for name in of_seed}
    worst = min(sorted(means), key=means.__getitem__)
    return Collateral(
        state=agreed([states.get(seed) for seed in per_seed]) or min(states.values(), key=_WORST_FIRST.index),
        worst=worst,
        value=means[worst],
        per_seed=per_seed,
    )


def everything_lost(of_seed: Mapping[str, float]) -> bool:
    """Whether all that the base model knew besides is lost, and there was something."""
    return bool(of_seed) and max(of_seed.values()) <= LOST


def in_words(of_seed: Mapping[str, float]) -> str:
    """`T 0.02 to I.c 0.41 of the base model's accuracy`: from the worst to the best of the others on one seed."""
    ordered = sorted(of_seed, key=of_seed.__getitem__)
    ends = [f"{name} {of_seed[name]:.2f}" for name in dict.fromkeys((ordered[0], ordered[-1]))]
    return f"{' to '.join(ends)} of the base model's accuracy"


def _state(share: float) -> CollateralState:
    if share >= KEPT:
        return CollateralState.KEPT
    return CollateralState.LOST if share <= LOST else CollateralState.DAMAGED


def _of(name: str, by_seed: Mapping[int, Mapping[str, float]]) -> list[float]:
    return [of_seed[name] for of_seed in by_seed.values() if name in of_seed]
