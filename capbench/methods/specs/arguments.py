"""Method arguments, given as key=value, and which a method takes: read from its source if possible, else from the function."""

from __future__ import annotations

import ast
import inspect
import keyword
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capbench.errors import MethodError, UsageError

Value = int | float | bool | str
Arguments = tuple[tuple[str, Value], ...]

_INT = re.compile(r"[+-]?[0-9]{1,300}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTH = {"true": True, "True": True, "false": False, "False": False}


@dataclass(frozen=True, kw_only=True)
class Takes:
    """The names of a method's arguments beyond model, task and config; needed: those without a default; any: has **kwargs."""

    names: tuple[str, ...]
    needed: tuple[str, ...] = ()
    any: bool = False


def parse(option: str, given: Sequence[str] | None) -> Arguments:
    """Parse key=value pairs, sorted by key. Values: int, float, true or false, else text.

    Raises UsageError for any other form and for a key given twice.
    """
    found: dict[str, Value] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier() or keyword.iskeyword(key) or not value.isprintable():
            raise UsageError(
                f"{option}={text!r}: must be key=value, such as rank=8, where key is an argument of the method"
            )
        if key in found:
            raise UsageError(f"{option}={text}: {key!r} is given twice; give it once")
        found[key] = _value(option, text, value)
    return tuple(sorted(found.items()))


def check(name: str, takes: Takes, arguments: Arguments) -> None:
    """Raises MethodError unless the method can be called with these arguments."""
    given = [key for key, _ in arguments]
    unknown = [key for key in given if key not in takes.names]
    if unknown and not takes.any:
        known = f"it takes {', '.join(takes.names)}" if takes.names else "it takes none"
        raise MethodError(f"method {name!r} has no argument {unknown[0]!r}; {known}")
    if missing := [key for key in takes.needed if key not in given]:
        raise MethodError(f"method {name!r} needs {', '.join(f'{key}=…' for key in missing)} as a method argument")


def taken_by(method: Callable[..., Any]) -> Takes | None:
    """What a function takes; None if it has no signature, as some functions written in C."""
    try:
        return _taken(inspect.signature(method))
    except (TypeError, ValueError):
        return None


def taken_in(file: Path, attribute: str) -> Takes | None:
    """What a function in a file takes, without running the file; None if the source alone does not show it."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError):  # reported when it is loaded
        return None
    # The last statement that binds the name counts; anything but an undecorated function could be anything.
    bound = [node for node in body if attribute in _binds(node)]
    if not bound or not isinstance(bound[-1], ast.FunctionDef) or bound[-1].decorator_list:
        return None
    return _taken(_signature(bound[-1].args))


def _value(option: str, text: str, value: str) -> Value:
    if value in _TRUTH:
        return _TRUTH[value]
    if _INT.fullmatch(value):
        return int(value)
    if _FLOAT.fullmatch(value):
        if not math.isfinite(number := float(value)):
            raise UsageError(f"{option}={text}: must be a finite number")
        return number
    return value


def _binds(node: ast.stmt) -> set[str]:
    """The names that a statement may bind, including those nested in it: too many do no harm."""
    inner: set[str] = {node.name} if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) else set()
    if inner:
        return inner
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, (ast.Store, ast.Del)):
            inner.add(part.id)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inner.add(part.name)
        elif isinstance(part, ast.alias):
            inner.add(part.asname or part.name.partition(".")[0])
    return inner


def _signature(args: ast.arguments) -> inspect.Signature:
    kinds, empty = inspect.Parameter, inspect.Parameter.empty
    positional = [
        *((a, kinds.POSITIONAL_ONLY) for a in args.posonlyargs),
        *((a, kinds.POSITIONAL_OR_KEYWORD) for a in args.args),
    ]
    first_default = len(positional) - len(args.defaults)
    found = [
        kinds(a.arg, kind, default=None if i >= first_default else empty) for i, (a, kind) in enumerate(positional)
    ]
    if args.vararg:
        found.append(kinds(args.vararg.arg, kinds.VAR_POSITIONAL))
    for a, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        found.append(kinds(a.arg, kinds.KEYWORD_ONLY, default=empty if default is None else None))
    if args.kwarg:
        found.append(kinds(args.kwarg.arg, kinds.VAR_KEYWORD))
    return inspect.Signature(found)


def _taken(signature: inspect.Signature) -> Takes:
    kinds = inspect.Parameter
    parameters = list(signature.parameters.values())
    positional = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    by_name = [p for p in positional[3:] if p.kind is kinds.POSITIONAL_OR_KEYWORD]
    by_name += [p for p in parameters if p.kind is kinds.KEYWORD_ONLY]
    return Takes(
        names=tuple(p.name for p in by_name),
        needed=tuple(p.name for p in by_name if p.default is kinds.empty),
        any=any(p.kind is kinds.VAR_KEYWORD for p in parameters),
    )
