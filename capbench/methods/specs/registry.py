"""Find a method by its spec, and load it where it runs. How a spec is written: schemes.py."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import arguments as method_arguments
from capbench.methods.specs import names
from capbench.methods.specs.arguments import Arguments
from capbench.methods.specs.depends import check as check_data
from capbench.methods.specs.depends import content
from capbench.methods.specs.endings import longer, shortest
from capbench.methods.specs.schemes import scheme_of
from capbench.methods.specs.user_code import one_line

_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class MethodRef:
    """A method as data.

    digest: hash of its source and of the data that it depends on, so an edited method is a new one. called: the name the user
    gave, if it is not the spec; only for reports. depends: the files and folders of that data. Neither is part of the method's
    identity.
    """

    spec: str
    digest: str
    arguments: Arguments = ()  # given to the method by name
    called: str = field(default="", compare=False)
    depends: frozenset[Path] = field(default=frozenset(), compare=False)

    @property
    def label(self) -> str:
        """The name in reports, without the arguments."""
        return self.called or scheme_of(self.spec).label(self.spec)

    @property
    def is_the_users(self) -> bool:
        """Whether it is code of the user's or of another package, which may do anything to the process it runs in."""
        return scheme_of(self.spec).is_the_users(self.spec)

    @property
    def name(self) -> str:
        """The spec without directories, plus its arguments: the name in reports."""
        given = ",".join(f"{name}={value}" for name, value in self.arguments)
        return self.label + (f"({given})" if given else "")


def find(
    spec: str,
    *,
    arguments: Arguments = (),
    registered: Mapping[str, str] = _NO_NAMES,
    depends: Collection[Path] = (),
) -> MethodRef:
    """Resolve a spec without running its code.

    arguments: for the method. registered: name -> spec, besides built-in methods and those of installed packages. depends: files
    and folders that it reads, unless it is built-in, besides those that its source names.
    Raises UsageError for an unknown name or form, MethodError for a file or module that cannot be found and for arguments that
    the method does not take (if its source shows it; `load` always checks).
    """
    target = spec if ":" in spec else names.stands_for(spec, registered)
    try:
        scheme = scheme_of(target)
        found = scheme.find(target)
    except (MethodError, UsageError) as error:
        raise error if target == spec else type(error)(f"method {spec!r}: {error}") from None
    called = "" if target == spec else spec
    data = found.depends | {path.resolve() for path in depends if scheme.users}
    try:
        digest = _with_data(found.digest, data)
    except OSError as error:
        raise MethodError(f"method {spec!r}: {error.filename!r} cannot be read ({error.strerror or error})") from None
    ref = MethodRef(spec=found.spec, digest=digest, arguments=tuple(sorted(arguments)), called=called, depends=data)
    if found.takes is not None:
        method_arguments.check(ref.label, found.takes, ref.arguments)
    return ref


def files(ref: MethodRef) -> frozenset[Path]:
    """The user's files and folders whose content is in the method's digest."""
    return scheme_of(ref.spec).files(ref.spec).files | ref.depends


def _with_data(digest: str, data: frozenset[Path]) -> str:
    """The digest with the content of data; the data's folders do not count, as far as they are not needed to tell it apart."""
    if not data:
        return digest
    names = shortest({path: [path.name, *longer(path.name, str(path)), str(path)] for path in data})
    lines = sorted(f"{name}:{content(path)};" for path, name in names.items())
    return hashlib.sha256("".join([digest, *lines]).encode()).hexdigest()[:16]


def load(ref: MethodRef) -> Callable[..., Any]:
    """Import the method. Raises MethodError, one line, for any error in the user's file."""
    try:
        method = scheme_of(ref.spec).load(ref.spec, ref.name)
    except MethodError:
        raise
    except (Exception, SystemExit) as error:
        raise MethodError(f"method {ref.name!r} cannot be imported: {one_line(error)}") from error
    check_data(method, ref.depends, ref.name)
    if (taken := method_arguments.taken_by(method)) is not None:
        method_arguments.check(ref.label, taken, ref.arguments)
    return functools.partial(method, **dict(ref.arguments)) if ref.arguments else method
