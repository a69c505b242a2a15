"""The methods of a run: each once, and no two of one name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeVar

from capbench.errors import MethodError
from capbench.methods.specs.registry import MethodRef
from capbench.methods.specs.schemes import scheme_of

K = TypeVar("K")


def distinct(found: Mapping[str, MethodRef | MethodError]) -> dict[str, MethodRef | MethodError]:
    """Without a function that is given twice, in two spellings; the methods of one name get the folders that tell them apart.

    found: spec as given -> the method, or why it cannot be used; such a one goes by its spec.
    """
    functions: set[str] = set()
    kept: dict[str, MethodRef | MethodError] = {}
    for spec, one in found.items():
        if isinstance(one, MethodRef):
            if (function := scheme_of(one.spec).function(one.spec)) in functions:
                continue
            functions.add(function)
        kept[spec] = one
    refs = {spec: one for spec, one in kept.items() if isinstance(one, MethodRef)}
    names = shortest({spec: _names(ref) for spec, ref in refs.items()}, taken=kept.keys() - refs.keys())
    return kept | {spec: replace(ref, called=names[spec]) for spec, ref in refs.items() if names[spec] != ref.label}


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


def _names(ref: MethodRef) -> list[str]:
    """The label, then with one folder more each, and the whole spec."""
    prefix = scheme_of(ref.spec).prefix
    ends = longer(ref.label.removeprefix(prefix), ref.spec.removeprefix(prefix))
    return [ref.label, *(prefix + end for end in ends), ref.spec]


def longer(end: str, path: str) -> list[str]:
    """The ends of a path that have one folder more than this one, two, … None if the path does not end so."""
    parts, n = path.split("/"), end.count("/") + 1
    return ["/".join(parts[-k:]) for k in range(n + 1, len(parts) + 1)] if parts[-n:] == end.split("/") else []
