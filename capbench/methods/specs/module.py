"""Method specs of the form `pkg.mod:attr`, and the user's files that an importable module consists of."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from capbench.errors import MethodError
from capbench.methods.specs import arguments, depends, sources
from capbench.methods.specs.base import Located, Method, Scheme, UserFiles
from capbench.methods.specs.user_code import attribute_of, make_cwd_importable
from capbench.store.imports import spec_of
from capbench.store.places import LIBRARIES, names_ours


class Module(Scheme):
    """`pkg.mod:attr`: a function in an importable module. Its digest covers the user's modules that it imports."""

    form = "pkg.mod:attr"

    def matches(self, spec: str) -> bool:
        """Whether it is a module and an attribute."""
        where, _, attribute = spec.rpartition(":")
        return bool(where) and not where.endswith(".py") and attribute.isidentifier()

    def find(self, spec: str) -> Located:
        """Look the module up on the Python path. Raises MethodError if it has no source file there."""
        where, _, attribute = spec.rpartition(":")
        file = module_file(spec, where)
        if not file.is_file():
            raise MethodError(f"method {spec!r}: there is no source file of module {where!r}")
        return Located(
            spec=spec,
            digest=sources.digest(file, where),
            takes=arguments.taken_in(file, attribute),
            depends=depends.declared_in(file, attribute, spec),
        )

    def load(self, spec: str, name: str) -> Method:
        """Import the module."""
        where, _, attribute = spec.rpartition(":")
        return attribute_of(importlib.import_module(where), attribute, name)

    def function(self, spec: str) -> str:
        """As the file of the module would be given."""
        where, _, attribute = spec.rpartition(":")
        return f"{module_file(spec, where).resolve()}:{attribute}"

    def is_the_users(self, spec: str) -> bool:
        """Unless it is a module of capbench."""
        return not names_ours(spec.rpartition(":")[0])

    def files(self, spec: str) -> UserFiles:
        """The module and what it imports."""
        return module_files(spec.rpartition(":")[0])


def module_file(spec: str, module: str) -> Path:
    """The file of a module, for the method `spec`. Raises MethodError if there is no such module."""
    make_cwd_importable()
    found = spec_of(module)
    if found is None or found.origin is None:
        raise MethodError(f"method {spec!r}: there is no module {module!r} on the Python path")
    return Path(found.origin)


def module_files(module: str) -> UserFiles:
    """The user's files that a module consists of: none for a module that is installed or has no file (a notebook)."""
    if module.partition(".")[0] in ("capbench", "__main__", *sys.stdlib_module_names):
        return UserFiles()
    found = sys.modules.get(module)
    spec = spec_of(module) if found is None else None
    path = spec.origin if spec is not None else getattr(found, "__file__", None)
    if path is None or path.startswith(LIBRARIES):
        return UserFiles()
    file = Path(path).resolve()
    folder = file.parents[len(module.split(".")) - (file.name != "__init__.py")]
    return sources.users_files(file, module) | UserFiles(folders=frozenset({folder}))
