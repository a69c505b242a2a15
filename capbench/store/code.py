"""The version of the code that results depend on: a hash of what its files do, whatever their paths and names.

Of the user's files the modules that they import count too, and the versions of libraries but for torch's, which models record.
A file's syntax tree is hashed without docstrings and without its imports of capbench. A name that such an import binds counts
as what it stands for, so that modules can be moved and renamed without losing anything made before.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import capbench
from capbench.store import places
from capbench.store.imports import libraries, users_imports
from capbench.store.places import (
    SHAPING,
    defined_in,
    is_ours,
    module_file,
    names_ours,
    shapes,
    source_of,
)
from capbench.store.remembered import Sources, remembered
from capbench.store.syntax import dotted, file_digest, take_digest

_EVERY_TRAINING = ("capbench.training.loop", "capbench.measure.accuracy", "capbench.pipeline.build")


def name_digest(path: str) -> str:
    """What stands in a key for code named `module:attribute`: the attribute, and the hash of what its module does."""
    module, _, attribute = path.partition(":")
    file = source_of(module)
    return f"{attribute}@{module if file is None or not file.is_file() else file_digest(file)}"


@cache
def training_code(modules: frozenset[str]) -> str:
    """Version of everything that shapes a model made with these modules: those of its tasks and its architecture."""
    files = {file for file in map(source_of, modules) if file is not None and (not is_ours(file) or shapes(file))}
    return _digest({*files, *map(module_file, _EVERY_TRAINING)})


@cache
def reading_code(files: frozenset[Path]) -> str:
    """Version of everything that shapes a measurement, given the files of its reading and of its study."""
    return _digest({*files, *map(module_file, _EVERY_TRAINING)})


def remember_sources() -> None:
    """Take the digests of all sources now, as they may be edited during a run."""
    files = list(_shaping())
    if all(file in _IMPORTED for file in files):
        return
    found = remembered(files, lambda: Sources({f: file_digest(f) for f in files}, {f: _imported(f) for f in files}))
    _IMPORTED.update(found.imports)
    for file, digest in found.digests.items():
        take_digest(file, digest)


def _shaping() -> Iterator[Path]:
    """All sources that shape results."""
    for part in SHAPING:
        path = module_file(part)
        yield from path.parent.rglob("*.py") if path.name == "__init__.py" else [path]


def _digest(files: set[Path]) -> str:
    """Hash of these files and all that they import, as far as it shapes results: no more, so that a change invalidates little."""
    found: set[Path] = set()
    waiting = set(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting |= _imported(file)
    # A set: a new package adds an __init__.py that does nothing, as others do. The user's files import each other by name.
    named = {f"{'' if is_ours(f) or f in files else _module_name(f)}{file_digest(f)}" for f in found}
    named |= {f"{library};" for library in libraries(file for file in found if not is_ours(file))}
    return hashlib.sha256(";".join(sorted(named)).encode()).hexdigest()[:16]


def _module_name(file: Path) -> str:
    return f"{file.parent.name if file.name == '__init__.py' else file.stem}:"


_IMPORTED: dict[Path, frozenset[Path]] = {}


def _imported(file: Path) -> frozenset[Path]:
    """The shaping files of capbench that a file imports, in functions too; of the user's file also the user's own."""
    if file not in _IMPORTED:
        _IMPORTED[file] = _imports_of(file)
    return _IMPORTED[file]


def _imports_of(file: Path) -> frozenset[Path]:
    tree = ast.parse(file.read_bytes())
    names = {name for node in ast.walk(tree) for name in _names(node)} | _through_the_face(tree)
    files = {module_file(name) for name in names if name.startswith("capbench.")}
    found = {f for f in files if f.is_file() and shapes(f)}
    if not is_ours(file):
        found |= users_imports(tree, file, loaded=True).keys() | {f for f in files if f.is_file() and _is_a_method(f)}
    return frozenset(found)


def _names(node: ast.AST) -> set[str]:
    """Dotted names that an import statement may bring in."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        named = {f"{node.module}.{alias.name}" for alias in node.names}
        all_public = capbench.PUBLIC.values() if "capbench.*" in named else ()
        return {node.module, *named, *(defined_in(name) for name in named), *all_public}
    return set()


def _through_the_face(tree: ast.AST) -> set[str]:
    """The modules of public names used as `capbench.name`."""
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    faces = {a.asname or "capbench" for a in imported if a.name == "capbench" or (names_ours(a.name) and not a.asname)}
    used = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    return {capbench.PUBLIC[n.attr] for n in used if dotted(n.value) in faces and n.attr in capbench.PUBLIC}


def _is_a_method(file: Path) -> bool:
    """Whether this is code of a built-in method, which a reading or a task of the user's may call."""
    return any(file.is_relative_to(places.ROOT / "methods" / kind) for kind in ("finetuning", "deletion", "peft"))
