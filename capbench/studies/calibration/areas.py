"""How well a number tells known wrapped models from known deleted ones, with an interval that knows of seeds. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

DRAWS = 2000
LEVEL = 0.95

Sample = tuple[Sequence[float], Sequence[float]]  # of one seed: values of wrapped models, and of deleted ones
Interval = tuple[float, float]


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive is above a negative, ties counting half (the area under the ROC curve)."""
    return float(_wins(positive, negative).mean())


def roc(positive: Sequence[float], negative: Sequence[float]) -> list[tuple[float, float]]:
    """(share of negatives at or above a threshold, share of positives), from the highest threshold to the lowest."""
    points = [(0.0, 0.0)]
    for threshold in sorted({*positive, *negative}, reverse=True):
        shares = [sum(v >= threshold for v in values) / len(values) for values in (negative, positive)]
        points.append((shares[0], shares[1]))
    return points


def pooled(by_seed: Mapping[int, Sample]) -> Sample:
    """All seeds as one sample."""
    return tuple([value for sample in by_seed.values() for value in sample[side]] for side in (0, 1))  # type: ignore[return-value]


def auc_interval(by_seed: Mapping[int, Sample], *, seed: int = 0) -> Interval | None:
    """The 95 % interval of the pooled area, by a bootstrap over two levels: seeds are drawn, then models within each.

    Models of a seed share base models and anchors, so that they are alike: a bootstrap over models alone would be too narrow
    (Obuchowski 1997, Biometrics 53; Davison & Hinkley 1997, sec. 3.8). Where no pair is the wrong way round there is nothing to
    draw differently, and the interval is the point 1: it then says nothing of how near an error is. With few seeds it is too
    narrow, too. None where one of the sides is empty.
    """
    positive, negative = pooled(by_seed)
    if not positive or not negative:
        return None
    wins = _wins(positive, negative)
    of_positive, of_negative = _drawn([[len(w), len(d)] for w, d in by_seed.values()], seed)
    pairs = of_positive.sum(1) * of_negative.sum(1)
    drawn = np.einsum("dp,pn,dn->d", of_positive, wins, of_negative)
    return _middle(drawn[pairs > 0] / pairs[pairs > 0])


def share_interval(by_seed: Mapping[int, Sequence[bool]], *, seed: int = 0) -> Interval | None:
    """The 95 % interval of a pooled share, by the same bootstrap. None without values."""
    every = np.array([float(value) for values in by_seed.values() for value in values])
    if not len(every):
        return None
    (times,) = _drawn([[len(values)] for values in by_seed.values()], seed)
    return _middle((times @ every)[times.sum(1) > 0] / times.sum(1)[times.sum(1) > 0])


def _wins(positive: Sequence[float], negative: Sequence[float]) -> np.ndarray:
    """[positive, negative]: 1 where the positive is above, a half where they tie."""
    p, n = np.asarray(positive, dtype=float)[:, None], np.asarray(negative, dtype=float)[None]
    wins: np.ndarray = (p > n) + 0.5 * (p == n)
    return wins


def _drawn(sizes: Sequence[Sequence[int]], seed: int) -> list[np.ndarray]:
    """How often each value is drawn, [draw, value], for each part of the seeds' samples. sizes: [seed][part]."""
    rng = np.random.default_rng(seed)
    n = len(sizes)
    copies = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)  # of each seed
    found: list[list[np.ndarray]] = [[] for _ in sizes[0]]
    for i, of_seed in enumerate(sizes):
        for part, size in zip(found, of_seed, strict=True):
            if size:  # each copy of a seed draws anew
                part.append(rng.multinomial(copies[:, i] * size, np.full(size, 1 / size)))
    return [np.concatenate(part, axis=1) if part else np.zeros((DRAWS, 0)) for part in found]


def _middle(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
