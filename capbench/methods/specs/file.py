"""Method specs of the form `path/file.py:attr`."""

from __future__ import annotations

import os
from pathlib import Path

from capbench.errors import MethodError
from capbench.methods.specs import arguments, depends, sources
from capbench.methods.specs.base import Located, Method, Move, Scheme, UserFiles
from capbench.methods.specs.user_code import attribute_of, import_file
from capbench.reading import EncodingError, check_python


class File(Scheme):
    """`path/file.py:attr`: a function in a file. Its digest covers the user's modules that it imports."""

    form = "path/file.py:attr"

    def matches(self, spec: str) -> bool:
        """Whether it is the path of a Python file and an attribute."""
        where, _, attribute = spec.rpartition(":")
        return where.endswith(".py") and attribute.isidentifier()

    def find(self, spec: str) -> Located:
        """The function, with the file's absolute path. Raises MethodError if there is no such file."""
        where, _, attribute = spec.rpartition(":")
        if not Path(where).is_file():
            raise MethodError(f"method {spec!r}: there is no file {where!r} in {Path.cwd()}")
        file = Path(where).resolve()
        try:
            check_python(file)
        except EncodingError as error:
            raise MethodError(f"method {spec!r}: {file.name} {error}") from None
        return Located(
            spec=f"{file}:{attribute}",
            digest=sources.digest(file),
            takes=arguments.taken_in(file, attribute),
            depends=depends.declared_in(file, attribute, spec),
        )

    def load(self, spec: str, name: str) -> Method:
        """Run the file."""
        where, _, attribute = spec.rpartition(":")
        return attribute_of(import_file(Path(where)), attribute, name)

    def is_the_users(self, spec: str) -> bool:
        """Always."""
        return True

    def label(self, spec: str) -> str:
        """The file's name and the attribute."""
        return os.path.basename(spec)

    def files(self, spec: str) -> UserFiles:
        """The file and the user's modules that it imports."""
        return sources.users_files(Path(spec.rpartition(":")[0]))

    def moved(self, spec: str, move: Move) -> str:
        """The new path of the file, and the attribute."""
        where, _, attribute = spec.rpartition(":")
        return f"{move(Path(where))}:{attribute}"
