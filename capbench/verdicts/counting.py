"""From what holds on each seed to what holds: counted, never averaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

Found = TypeVar("Found", bound=Hashable)


def agreed(by_seed: Sequence[Found | None]) -> Found | None:
    """What at least four fifths of the decided seeds agree on, if at least two thirds of all seeds are decided; else None.

    by_seed: an entry for every seed; None for one that is not decided.
    """
    decided = [found for found in by_seed if found is not None]
    if not decided or 3 * len(decided) < 2 * len(by_seed):
        return None
    ((most, count),) = Counter(decided).most_common(1)
    return most if 5 * count >= 4 * len(decided) else None


def tally(by_seed: Sequence[object]) -> str:
    """`wrapped on 2 of 3 seeds, deleted on 1`: the most frequent first."""
    (first, count), *others = Counter(map(str, by_seed)).most_common()
    total = f"{count} of {len(by_seed)} seeds" if len(by_seed) > 1 else "the only seed"
    return ", ".join([f"{first} on {total}", *(f"{name} on {n}" for name, n in others)])


def seeds_in_words(seeds: Sequence[int]) -> str:
    """`seed 2`, `seeds 0 and 1`, `seeds 0, 1 and 2`."""
    *before, last = map(str, seeds)
    return f"seeds {', '.join(before)} and {last}" if before else f"seed {last}"
