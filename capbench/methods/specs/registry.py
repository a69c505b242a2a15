"""Find a method by its spec, and load it where it runs. How a spec is written: schemes.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import arguments as method_arguments
from capbench.methods.specs import names
from capbench.methods.specs.arguments import Arguments
from capbench.methods.specs.schemes import scheme_of
from capbench.methods.specs.user_code import one_line

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class MethodRef:
    """A method as data.

    digest: hash of its source, so an edited method is a new one. called: the name the user gave, if it is not the spec; only
    for reports, not part of the method's identity.
    """

    spec: str
    digest: str
    arguments: Arguments = ()  # given to the method by name
    called: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The name in reports, without the arguments."""
        return self.called or scheme_of(self.spec).label(self.spec)

    @property
    def name(self) -> str:
        """The spec without directories, plus its arguments: the name in reports."""
        given = ",".join(f"{name}={value}" for name, value in self.arguments)
        return self.label + (f"({given})" if given else "")


def find(spec: str, *, arguments: Arguments = (), registered: Mapping[str, str] = _NO_NAMES) -> MethodRef:
    """Resolve a spec without running its code.

    arguments: for the method. registered: name -> spec, besides built-in methods and those of installed packages.
    Raises UsageError for an unknown name or form, MethodError for a file or module that cannot be found and for arguments that
    the method does not take (if its source shows it; `load` always checks).
    """
    target = spec if ":" in spec else names.stands_for(spec, registered)
    try:
        found = scheme_of(target).find(target)
    except (MethodError, UsageError) as error:
        raise error if target == spec else type(error)(f"method {spec!r}: {error}") from None
    called = "" if target == spec else spec
    ref = MethodRef(spec=found.spec, digest=found.digest, arguments=tuple(sorted(arguments)), called=called)
    if found.takes is not None:
        method_arguments.check(ref.label, found.takes, ref.arguments)
    return ref


def files(ref: MethodRef) -> frozenset[Path]:
    """The user's files whose content is in the method's digest."""
    return scheme_of(ref.spec).files(ref.spec).files


def load(ref: MethodRef) -> Callable[..., Any]:
    """Import the method. Raises MethodError, one line, for any error in the user's file."""
    try:
        method = scheme_of(ref.spec).load(ref.spec, ref.name)
    except MethodError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"method {ref.name!r} cannot be imported: {one_line(error)}") from error
    if (taken := method_arguments.taken_by(method)) is not None:
        method_arguments.check(ref.label, taken, ref.arguments)
    return functools.partial(method, **dict(ref.arguments)) if ref.arguments else method
