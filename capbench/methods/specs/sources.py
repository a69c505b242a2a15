"""The version of a method: a hash of its file and of the user's own modules that it imports, read without running them."""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from capbench import PUBLIC
from capbench.store.places import LIBRARIES, on_the_way
from capbench.store.syntax import file_digest

_CAPBENCH = Path(__file__).parents[2]
_METHODS = Path(__file__).parents[1]
_SHAPING = ("capbench.methods", "capbench.measure")  # of capbench: a method may look inside a model


@dataclass(frozen=True)
class _Root:
    """A folder in which absolute imports are looked up; top: only those of this package, if it is not empty."""

    folder: Path
    top: str = ""


def digest(file: Path, module: str = "") -> str:
    """16 hex digits over a method's file and all in `files`: of the user's the bytes, of capbench's what they do."""
    found = files(file, module)
    ours = {file_digest(other) for other in found if other.is_relative_to(_CAPBENCH)}
    theirs = {(_name(other, file), _hash(other)) for other in found if not other.is_relative_to(_CAPBENCH)}
    lines = [*sorted(ours), *(f"{name}:{content};" for name, content in sorted(theirs))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def files(file: Path, module: str = "") -> set[Path]:
    """A method's file and those that it imports, directly or not, also within functions.

    module: the dotted name that the file is imported by; empty if it is given by path. Includes modules of the same folder or
    package, and methods and measurements of capbench. Excludes installed libraries and the rest of capbench, which is in every
    model's key.
    """
    roots = _roots(file, module)
    found: set[Path] = set()
    waiting = {file}
    while waiting:
        here = waiting.pop()
        if here not in found:
            found.add(here)
            waiting |= _imported(here, roots)
    return found


def users_files(file: Path, module: str = "") -> set[Path]:
    """Those of `files` that are not capbench's."""
    return {found for found in files(file, module) if not found.is_relative_to(_CAPBENCH)}


def _finds_methods(file: Path) -> bool:
    """Whether a file of capbench only finds and describes methods: no result depends on it."""
    return file == _METHODS / "base.py" or file.is_relative_to(_METHODS / "specs")


def _roots(file: Path, module: str) -> tuple[_Root, ...]:
    if file.is_relative_to(_CAPBENCH):
        return ()
    if "." in module:
        top, *inner = module.split(".")
        return (_Root(file.parents[len(inner) + (file.name == "__init__.py")], top),)
    package = file.parent
    while (package.parent / "__init__.py").is_file():
        package = package.parent
    whole = (_Root(package.parent, package.name),) if (package / "__init__.py").is_file() else ()
    library = str(file.parent) in LIBRARIES or file.parent.name in ("site-packages", "dist-packages")
    return whole if library else (_Root(file.parent), *whole)


def _imported(file: Path, roots: tuple[_Root, ...]) -> set[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # loading the method will say so
        return set()
    found: set[Path] = set()
    for level, name in _names(tree):
        parts = name.split(".") if name else []
        if level:
            if level <= len(file.parents) and not file.is_relative_to(_CAPBENCH):
                package = file.parents[level - 1]
                found |= {*on_the_way(package, parts), *package.glob("__init__.py")}
        elif parts[0] == "capbench":  # not looked up beside the file: it may lie in a clone of this repository
            if not any(f"{name}.".startswith(f"{shaping}.") for shaping in _SHAPING):
                continue
            found |= {
                f
                for f in on_the_way(_CAPBENCH / parts[1], parts[2:])
                if f.name != "__init__.py" and not _finds_methods(f)
            }
        elif parts[0] not in sys.stdlib_module_names:
            for root in roots:
                if root.top in ("", parts[0]):
                    found |= set(on_the_way(root.folder, parts))
    return found


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(number of leading dots, dotted name) of everything imported; of `from a import b` both a and a.b, b may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            yield node.level, start
            for alias in node.names:
                public = start == "capbench" and not node.level and PUBLIC.get(alias.name)
                yield node.level, public or f"{start}.{alias.name}".lstrip(".")


def _name(file: Path, method: Path) -> str:
    """A name that is the same wherever the user's folder is."""
    return Path(os.path.relpath(file, method.parent)).as_posix()
