"""The version of the code that results depend on: a hash of its syntax trees, blind to comments and docstrings."""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent.parent
# What shapes results. Plans, the store, methods (which have a digest each), reports … do not.
_SHAPING = (
    "configs.py",
    "tasks",
    "models",
    "training/loop.py",
    "measure",
    "studies",
    "verdicts",
    "pipeline/build.py",
)
_EVERY_TRAINING = ("training/loop.py", "measure/accuracy.py", "pipeline/build.py")


def source_digest(source: str) -> str:
    """Hash of a module's syntax tree without docstrings: comments and layout do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


@cache
def file_digest(file: Path) -> str:
    """`source_digest` of a file as it is at the first call: sources may be edited while a run goes on."""
    return source_digest(file.read_text(encoding="utf-8"))


@cache
def training_code(modules: frozenset[str]) -> str:
    """Version of everything that shapes a model made with these modules: those of its tasks and its architecture."""
    files = {file for file in map(source_of, modules) if file is not None and (not _ours(file) or _shapes(file))}
    return _digest({*files, *(_ROOT / part for part in _EVERY_TRAINING)})


@cache
def reading_code(files: frozenset[Path]) -> str:
    """Version of everything that shapes a measurement, given the files of its reading and of its study."""
    return _digest({*files, *(_ROOT / part for part in _EVERY_TRAINING)})


def source_of(module: str) -> Path | None:
    """The source file of a module, of capbench or of the user's own; None where it has none (a notebook)."""
    if module.partition(".")[0] == "capbench":
        return _file(module)
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file else None


def remember_sources() -> None:
    """Take the digests of all sources now, as they may be edited while a run goes on."""
    for part in _SHAPING:
        path = _ROOT / part
        for file in path.rglob("*.py") if path.is_dir() else [path]:
            file_digest(file)
            _imported(file)


def _digest(files: set[Path]) -> str:
    """Hash of these files and of all that they import, as far as it shapes results: no more, so that a change costs little."""
    found: set[Path] = set()
    waiting = set(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting |= _imported(file)
    total = hashlib.sha256()
    for name, file in sorted(
        (file.relative_to(_ROOT).as_posix() if _ours(file) else file.name, file) for file in found
    ):
        total.update(f"{name}:{file_digest(file)};".encode())
    return total.hexdigest()[:16]


@cache
def _imported(file: Path) -> frozenset[Path]:
    """The shaping files of capbench that a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = {_file(name) for name in names if name.startswith("capbench.")}
    return frozenset(f for f in files if f.is_file() and _shapes(f))


def _shapes(file: Path) -> bool:
    return file.relative_to(_ROOT).as_posix().startswith(_SHAPING)


def _file(module: str) -> Path:
    """Where a module of capbench is, if it is a module and not a name in one."""
    place = _ROOT.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _ours(file: Path) -> bool:
    return file.is_relative_to(_ROOT)
