"""The studies that a claim can be about, by name: the built-in ones, those of installed packages, those of conftest files."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Protocol

from capbench.configs import Precision
from capbench.errors import UsageError
from capbench.methods.specs.registry import MethodRef
from capbench.methods.specs.user_code import one_line
from capbench.studies.base import PARTS, Study
from capbench.verdicts.tools import Toolbox

GROUP, HOOK = "capbench.studies", "pytest_capbench_register_studies"


class Factory(Protocol):
    """Makes a study. method None: for claims about base models only."""

    def __call__(self, *, scale: str, method: MethodRef | None, device: str, precision: Precision) -> Study: ...


Given = str | Factory  # `module:attribute` of a factory, or the factory itself
Table = Mapping[str, Given]

BUILT_IN: Table = {
    "pcfg-counter": "capbench.studies.pcfg.factory:counter",
    "pcfg-indexer": "capbench.studies.pcfg.factory:indexer",
    "pcfg-jailbreak": "capbench.studies.pcfg.factory:jailbreak",
    "deletion-counter": "capbench.studies.deletion.factory:counter",
    "tracr-counter": "capbench.studies.tracr.factory:counter",
    "tracr-max": "capbench.studies.tracr.factory:largest",
    "stories": "capbench.studies.stories.factory:twist",
    "language-implant": "capbench.studies.language.factory:implant",
    "language-natural": "capbench.studies.language.factory:natural",
    "language-pair": "capbench.studies.language.factory:pair",
    "calibration": "capbench.studies.calibration.factory:pool",
}


def table(answers: Iterable[tuple[str, object]] = ()) -> dict[str, Given]:
    """All studies by name. answers: of the hook, each with who gave it.

    Raises UsageError, one line, for an answer that is not a dict of names and factories, and for a name that two give.
    """
    found: dict[str, Given] = {}
    givers: dict[str, str] = {}
    for giver, given in _all(answers):
        if not isinstance(given, Mapping):
            raise UsageError(f"{giver} returned {given!r:.80}; it must return a dict of names and studies")
        for name, factory in given.items():
            if not isinstance(name, str) or not name or not name.isprintable():
                raise UsageError(f"{giver}: {name!r} is no name for a study; use letters, digits and '-'")
            if name in found:
                raise UsageError(f"study name {name!r} is given by {givers[name]} and {giver}; rename one")
            if not (callable(factory) or (isinstance(factory, str) and _is_path(factory))):
                raise UsageError(
                    f"{giver}: study {name!r} is {factory!r:.80}; it must be a function, or its module:attribute"
                )
            found[name], givers[name] = factory, giver
    return found


def unknown(name: str, studies: Table) -> str:
    """What is said of a name that no study has."""
    return f"unknown study {name!r}; known: {', '.join(studies)}"


def make(
    name: str,
    studies: Table = BUILT_IN,
    *,
    scale: str,
    method: MethodRef | None = None,
    device: str = "cpu",
    precision: Precision = "float32",
) -> Study:
    """The study of a name. Raises UsageError, one line: for an unknown name, a scale that it does not have, a factory that

    fails, and for a study that lacks a part.
    """
    if name not in studies:
        raise UsageError(unknown(name, studies))
    try:
        made = _factory(studies[name])(scale=scale, method=method, device=device, precision=precision)
    except UsageError as error:
        raise UsageError(f"study {name!r}: {error}") from None
    except Exception as error:  # whatever a user's factory may raise
        raise UsageError(f"study {name!r} could not be made: {one_line(error)}") from None
    _check(name, made)
    return made


def _all(answers: Iterable[tuple[str, object]]) -> Iterable[tuple[str, object]]:
    yield "capbench itself", BUILT_IN
    for point in metadata.entry_points(group=GROUP):
        yield f"the distribution {point.dist.name if point.dist else 'unknown'!r}", {point.name: point.value}
    for giver, answer in answers:
        yield f"{HOOK} of {giver}", answer


def _is_path(text: str) -> bool:
    module, _, attribute = text.partition(":")
    return attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _factory(given: Given) -> Factory:
    if not isinstance(given, str):
        return given
    module, _, attribute = given.partition(":")
    found: Factory = getattr(importlib.import_module(module), attribute)
    return found


def _check(name: str, made: object) -> None:
    kind = type(made).__name__
    for part in PARTS:
        try:
            found = getattr(made, part)
        except (AttributeError, NotImplementedError):
            raise UsageError(f"study {name!r}: {kind} has no {part!r}; a study has {', '.join(PARTS)}") from None
        if part == "preset" and not hasattr(found, "name"):
            raise UsageError(f"study {name!r}: its preset has no 'name', which is that of the scale")
        if part == "toolbox" and not isinstance(found, Toolbox):
            raise UsageError(f"study {name!r}: its toolbox is a {type(found).__name__}, not a capbench.Toolbox")
