"""The version of the code that results depend on: a hash of its syntax trees, blind to comments and docstrings."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_TRAINING = ("configs.py", "tasks", "models", "training.py", "measure/accuracy.py", "pipeline/build.py")
_MEASURING = (*_TRAINING, "measure", "protocols/pcfg_counter.py")


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
def training_code() -> str:
    """Version of everything that shapes a trained model, save the method (which has a digest of its own)."""
    return _digest(_TRAINING)


@cache
def measuring_code() -> str:
    """Version of everything that shapes a measurement."""
    return _digest(_MEASURING)


def _digest(parts: tuple[str, ...]) -> str:
    total = hashlib.sha256()
    for part in parts:
        path = _ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(f"{file.relative_to(_ROOT)}:{file_digest(file)};".encode())
    return total.hexdigest()[:16]
