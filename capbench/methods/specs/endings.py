"""Names for paths: the shortest ends that tell them apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

K = TypeVar("K")


def shortest(names: Mapping[K, Collection[str]], *, taken: Collection[str] = ()) -> dict[K, str]:
    """The first of each one's names that is none of another's, nor taken; where there is none, its last.

    names: of each from the shortest to the longest, which no other has.
    """
    found: dict[K, str] = {}
    for one, own in names.items():
        others = {name for other, theirs in names.items() if other != one for name in theirs}
        free = (name for name in own if name not in others and name not in taken)
        found[one] = next(free, list(own)[-1])
    return found


def longer(end: str, path: str) -> list[str]:
    """The ends of a path that have one folder more than this one, two, … None if the path does not end so."""
    parts, n = path.split("/"), end.count("/") + 1
    return ["/".join(parts[-k:]) for k in range(n + 1, len(parts) + 1)] if parts[-n:] == end.split("/") else []
