"""The version of a method: a hash of its file and of the user's own modules that it imports, read without running them."""

from __future__ import annotations

import ast
import hashlib
import os
from pathlib import Path

from capbench.methods.specs.base import UserFiles
from capbench.store.imports import Near, libraries, names, package_root, parsed, users_imports
from capbench.store.places import defined_in, is_library, on_the_way
from capbench.store.syntax import file_digest

_CAPBENCH = Path(__file__).parents[2]
_METHODS = Path(__file__).parents[1]
_SHAPING = ("capbench.methods", "capbench.measure")  # of capbench: a method may look inside a model


def digest(file: Path, module: str = "") -> str:
    """16 hex digits over a method's file and all in `files`: of the user's the bytes, of capbench's what they do.

    The versions of the libraries that they import count too.
    """
    found = _walked(file, module)
    ours = {file_digest(other) for other in found if other.is_relative_to(_CAPBENCH)}
    theirs = {
        (_name(other, root, file), _hash(other)) for other, root in found.items() if not other.is_relative_to(_CAPBENCH)
    }
    lines = [*sorted(ours), *(f"{name}:{content};" for name, content in sorted(theirs)), *libraries(found)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def files(file: Path, module: str = "") -> set[Path]:
    """A method's file and those that it imports, directly or not, also within functions.

    module: the dotted name that the file is imported by; empty if it is given by path. Includes the user's modules wherever they
    lie, others of the method's own package, and methods and measurements of capbench. Excludes installed libraries and the rest
    of capbench, which is in every model's key.
    """
    return set(_walked(file, module))


def users_files(file: Path, module: str = "") -> UserFiles:
    """Those of `files` that are not capbench's, and the folders from which those elsewhere are imported."""
    found = {one: root for one, root in _walked(file, module).items() if not one.is_relative_to(_CAPBENCH)}
    return UserFiles(files=frozenset(found), folders=frozenset(root for root in found.values() if root is not None))


def _walked(file: Path, module: str) -> dict[Path, Path | None]:
    """The files, each with the folder that it is imported from; None for the method's own folder or package."""
    near, own = _near(file, module)
    at_home = {n.folder for n in near}
    found: set[Path] = set()
    elsewhere: dict[Path, set[Path]] = {}
    waiting = {file}
    while waiting:
        found.add(here := waiting.pop())
        tree = parsed(here)
        imported = _ours(tree)
        if not here.is_relative_to(_CAPBENCH):
            for one, place in users_imports(tree, here, near=near, own=own).items():
                imported.add(one)
                if place not in at_home and (own is None or not one.is_relative_to(own)):
                    elsewhere.setdefault(one, set()).add(place)
        waiting |= imported - found
    return {one: min(elsewhere[one]) if one in elsewhere else None for one in found}


def _finds_methods(file: Path) -> bool:
    """Whether a file of capbench only finds and describes methods: no result depends on it."""
    return file == _METHODS / "base.py" or file.is_relative_to(_METHODS / "specs")


def _near(file: Path, module: str) -> tuple[tuple[Near, ...], Path | None]:
    """Where the imports of a method are looked up first, and the package that it is part of, as installed ones are too."""
    if file.is_relative_to(_CAPBENCH):
        return (), None
    if "." in module:
        top, *inner = module.split(".")
        folder = file.parents[len(inner) + (file.name == "__init__.py")]
        return (Near(folder, top),), folder / top
    package = package_root(file)
    whole = () if package is None else (Near(package.parent, package.name),)
    return (whole if is_library(file.parent) else (Near(file.parent), *whole)), package


def _ours(tree: ast.AST) -> set[Path]:
    """The methods and measurements of capbench that a file imports."""
    found: set[Path] = set()
    for level, given in names(tree):
        name = defined_in(given)
        # Not looked up beside the file: it may lie in a clone of this repository.
        if not level and any(f"{name}.".startswith(f"{shaping}.") for shaping in _SHAPING):
            _, first, *rest = name.split(".")
            found |= {
                f for f in on_the_way(_CAPBENCH / first, rest) if f.name != "__init__.py" and not _finds_methods(f)
            }
    return found


def _name(file: Path, root: Path | None, method: Path) -> str:
    """A name that is the same wherever the user's folders are."""
    return Path(os.path.relpath(file, root or method.parent)).as_posix()
