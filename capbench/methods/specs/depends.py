"""Data that a method reads: files and folders whose content counts like its source."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Collection
from pathlib import Path

from capbench.errors import MethodError
from capbench.store.imports import parsed

ATTRIBUTE = "depends_on"


def declared_in(file: Path, function: str, name: str) -> frozenset[Path]:
    """The files that `function.depends_on = ["side.json"]` names, from the file's folder; the file is not run.

    name: the method's. Raises MethodError unless that is a list of texts, each of a file or folder that is there.
    """
    found: frozenset[Path] = frozenset()
    for node in ast.iter_child_nodes(parsed(file)):
        if not isinstance(node, ast.Assign) or not any(_is_attribute(target, function) for target in node.targets):
            continue
        try:
            given = ast.literal_eval(node.value)
        except ValueError:
            given = None
        if not isinstance(given, (list, tuple)) or not all(isinstance(each, str) for each in given):
            raise MethodError(
                f"method {name!r}: {function}.{ATTRIBUTE} in line {node.lineno} must be a list of file names, as in "
                '["side.json"]: it is read without running the file'
            )
        for each in given:
            if not (file.parent / each).exists():
                raise MethodError(
                    f"method {name!r}: {function}.{ATTRIBUTE} names {each!r}, which is not in {file.parent}"
                )
        found = frozenset((file.parent / each).resolve() for each in given)
    return found


def check(method: object, declared: Collection[Path], name: str) -> None:
    """Raises MethodError if a loaded function declares files that its source does not show."""
    given = getattr(method, ATTRIBUTE, ())
    if given and not declared:
        raise MethodError(
            f"method {name!r}: {ATTRIBUTE} is {given!r:.60} when it runs, but its file does not show that; write a line such as "
            f'tune.{ATTRIBUTE} = ["side.json"] outside of functions'
        )


def files_of(path: Path) -> list[Path]:
    """The file, or all files below the folder, but for compiled Python code."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and file.parent.name != "__pycache__")


def content(path: Path) -> str:
    """Hash of a file, or of a folder's files with their names. Raises OSError if one cannot be read."""
    if not path.is_dir():
        return _content(path, path.stat().st_mtime_ns, path.stat().st_size)
    lines = (f"{file.relative_to(path).as_posix()}:{content(file)};" for file in files_of(path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@functools.cache
def _content(file: Path, changed: int, size: int) -> str:
    """Once for each state of a file: weights may be large."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _is_attribute(target: ast.expr, function: str) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and target.attr == ATTRIBUTE
        and isinstance(target.value, ast.Name)
        and target.value.id == function
    )
