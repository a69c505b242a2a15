"""Method names besides the built-in ones: entry points of installed packages, and names registered by plugins or conftests."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.methods.specs.built_in import BUILT_IN
from capbench.methods.specs.schemes import forms

GROUP = "capbench.methods"


def stands_for(name: str, registered: Mapping[str, str]) -> str:
    """The spec of a name; a built-in name is its own spec. Raises UsageError for an unknown name and for one given twice."""
    sources = [
        (f"the distribution {_distribution(point)!r}", point.value)
        for point in metadata.entry_points(group=GROUP, name=name)
    ]
    sources += [("pytest_capbench_register_methods", registered[name])] if name in registered else []
    sources += [("capbench", name)] if name in BUILT_IN else []
    if len(sources) > 1:
        givers = " and ".join(giver for giver, _ in sources)
        raise UsageError(f"method name {name!r} is given by {givers}: rename one, or use pkg.mod:attr")
    if not sources:
        more = sorted({*registered, *metadata.entry_points(group=GROUP).names} - BUILT_IN.keys())
        own = f"; from plugins: {', '.join(more)}" if more else ""
        raise UsageError(f"unknown method {name!r}: use a built-in ({', '.join(BUILT_IN)}{own}), {forms()}")
    ((_, spec),) = sources
    if ":" not in spec and spec not in BUILT_IN:
        raise UsageError(f"method name {name!r} stands for {spec!r}, which is not of the form pkg.mod:attr")
    return spec


def collect(answers: Iterable[object]) -> dict[str, str]:
    """All return values of the hook as names -> specs; functions become specs that worker processes can import.

    Raises UsageError for any other return value and for a name that is taken.
    """
    found: dict[str, str] = {}
    for answer in answers:
        if not isinstance(answer, Mapping):
            raise UsageError(f"{_HOOK} returned {answer!r:.80}; it must return a dict of names and methods")
        for name, method in answer.items():
            if not isinstance(name, str) or not name or ":" in name or not name.isprintable():
                raise UsageError(f"{_HOOK}: {name!r} is not a method name; use letters, digits and '-'")
            if name in BUILT_IN or name in found:
                taken = "the name of a built-in method" if name in BUILT_IN else "registered twice"
                raise UsageError(f"{_HOOK}: {name!r} is {taken}; choose another name")
            found[name] = method if isinstance(method, str) else _spec(name, method)
            if ":" not in found[name] and found[name] not in BUILT_IN:
                raise UsageError(
                    f"{_HOOK}: {name!r} stands for {found[name]!r}, which is not of the form pkg.mod:attr or file.py:attr"
                )
    return found


_HOOK = "pytest_capbench_register_methods"


def _spec(name: str, method: Any) -> str:
    """The spec by which worker processes import a function, which must therefore be in a file under its own name."""
    plain = inspect.unwrap(method) if callable(method) else method
    space = getattr(plain, "__globals__", {})
    attribute, file = getattr(method, "__name__", ""), space.get("__file__") or ""
    if not inspect.isfunction(method) or space.get(attribute) is not method or not file.endswith(".py"):
        shown = getattr(method, "__qualname__", None) or repr(method)
        raise UsageError(
            f"{_HOOK}: {name!r} is {shown:.80}, which other processes cannot import; "
            "give a function defined at the top of a file, or text of the form file.py:attr"
        )
    # A module of a package may use relative imports. Other processes cannot import a conftest by name.
    if space.get("__package__") and Path(file).name != "conftest.py":
        return f"{space['__name__']}:{attribute}"
    return f"{Path(file).resolve()}:{attribute}"


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"
