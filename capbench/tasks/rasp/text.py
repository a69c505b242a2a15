"""RASP programs as text (JSON), for a file or a step: every expression once, after its children.

An expression is a list of its kind and its fields; '#2' refers to the third expression.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from capbench.errors import UsageError
from capbench.tasks.rasp import functions, tree
from capbench.tasks.rasp.tree import Node, RaspProgram

_NODES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        tree.Tokens,
        tree.Indices,
        tree.Select,
        tree.SelectorWidth,
        tree.Aggregate,
        tree.Map,
        tree.SequenceMap,
        tree.LinearSequenceMap,
    )
}
_FUNCTIONS: dict[str, Any] = {
    kind.__name__: kind for kind in (functions.Rank, functions.Affine, functions.AtLeast, functions.Line, functions.Mix)
}


def to_text(program: RaspProgram) -> str:
    """One line of JSON; equal programs give the same text."""
    nodes = tree.expressions(program.output)
    number = {node: f"#{i}" for i, node in enumerate(nodes)}

    def plain(value: Any) -> Any:
        if isinstance(value, Node):
            return number[value]
        if type(value) in _FUNCTIONS.values():
            return written(value)
        return list(value) if isinstance(value, tuple) else value

    def written(value: Any) -> list[Any]:
        return [type(value).__name__, {f.name: plain(getattr(value, f.name)) for f in fields(value)}]

    whole = {"vocab": program.vocab, "max_seq_len": program.max_seq_len, "expressions": [written(n) for n in nodes]}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)


def from_text(text: str) -> RaspProgram:
    """The inverse of `to_text`. Raises UsageError for any other text, and for a program that Tracr would refuse."""
    nodes: list[Any] = []

    def read(value: Any) -> Any:
        if isinstance(value, str) and value.startswith("#"):
            return nodes[int(value[1:])]
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict):
            return _FUNCTIONS[value[0]](**{name: _tuple(inner) for name, inner in value[1].items()})
        return value

    try:
        whole = json.loads(text)
        for kind, content in whole["expressions"]:
            nodes.append(_NODES[kind](**{name: read(value) for name, value in content.items()}))
        return RaspProgram(output=nodes[-1], vocab=tuple(whole["vocab"]), max_seq_len=whole["max_seq_len"])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        shown = " ".join(text.split())[:80]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{shown!r} is not a RASP program written by to_text ({reason})") from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
