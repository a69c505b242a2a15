"""Whether a value from JSON has the type that a setting is declared with."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, Union

_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def mistyped(name: str, value: Any, hint: Any) -> str:
    """What is wrong with a value, as in `'r' is 'eight'; it must be a whole number`; '' if it fits.

    hint: a type, or a union, literal, list or dict of types, or a dataclass, which JSON gives as an object of its fields.
    """
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        return _in_object(name, value, hint)
    choices = _choices(hint)
    inner = [c for c in choices if dataclasses.is_dataclass(c)]
    if inner and isinstance(value, dict):
        return mistyped(name, value, inner[0])
    if any(_fits(value, choice) for choice in choices):
        return ""
    # Python may give the parts of a union in any order.
    literals = [choice for choice in choices if typing.get_origin(choice) is Literal]
    others = sorted(
        {_said(choice) for choice in choices if choice not in literals}, key=lambda words: (words == "null", words)
    )
    words = [*others, *map(_said, literals)] if "null" not in others else [*others[:-1], *map(_said, literals), "null"]
    return f"{name!r} is {value!r}; it must be {' or '.join(words)}"


def _in_object(name: str, value: dict[str, Any], kind: type) -> str:
    hints = typing.get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind) if f.init]
    for key, inner in value.items():
        if key not in known:
            return f"{name + '.' + key!r} is not a key of {kind.__name__}; known: {', '.join(known)}"
        if wrong := mistyped(f"{name}.{key}", inner, hints[key]):
            return wrong
    return ""


def _choices(hint: Any) -> list[Any]:
    """The alternatives of a union; a literal's values, each as a literal."""
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return [choice for part in typing.get_args(hint) for choice in _choices(part)]
    if origin is Literal:
        return [Literal[value] for value in typing.get_args(hint)]
    return [hint]


def _fits(value: Any, hint: Any) -> bool:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return type(value) is type(inside[0]) and value == inside[0]
    if origin in (list, tuple) or hint in (list, tuple):
        if not isinstance(value, list) or (origin is tuple and Ellipsis not in inside and len(value) != len(inside)):
            return False
        parts = inside if origin is tuple and Ellipsis not in inside else (inside[0] if inside else Any,) * len(value)
        return all(not mistyped("", v, part) for v, part in zip(value, parts, strict=True))
    if origin is dict or hint is dict:
        of = inside[1] if inside else Any
        return isinstance(value, dict) and all(not mistyped("", v, of) for v in value.values())
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _said(hint: Any) -> str:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return repr(inside[0])
    if origin is list and inside:
        return {str: "a list of texts", int: "a list of whole numbers"}.get(inside[0], "a list")
    if origin is dict and inside[1:] == (float,):
        return "an object of numbers"
    return _NAMES.get(origin or hint, "an object")
