"""The methods of a run: each once, and no two of one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from capbench.errors import MethodError
from capbench.methods.specs.endings import longer, shortest
from capbench.methods.specs.registry import MethodRef
from capbench.methods.specs.schemes import scheme_of


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


def _names(ref: MethodRef) -> list[str]:
    """The label, then with one folder more each, and the whole spec."""
    prefix = scheme_of(ref.spec).prefix
    ends = longer(ref.label.removeprefix(prefix), ref.spec.removeprefix(prefix))
    return [ref.label, *(prefix + end for end in ends), ref.spec]
