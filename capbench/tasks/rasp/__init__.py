"""RASP programs as data: a specification that can be drawn, serialised, interpreted and compiled.

`compiled` is for Compile(program="capbench.tasks.rasp:compiled", arguments=(to_text(program),), ...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capbench.tasks.rasp.functions import Affine, AtLeast, Function, Line, Mix, Rank
from capbench.tasks.rasp.running import build, interpret
from capbench.tasks.rasp.text import from_text, to_text
from capbench.tasks.rasp.tree import (
    COMPARISONS,
    Aggregate,
    Indices,
    LinearSequenceMap,
    Map,
    Node,
    RaspProgram,
    Select,
    SelectorWidth,
    SequenceMap,
    Tokens,
    Value,
    expressions,
    is_numerical,
)

if TYPE_CHECKING:
    from tracr.rasp import rasp

__all__ = [
    "COMPARISONS",
    "Affine",
    "Aggregate",
    "AtLeast",
    "Function",
    "Indices",
    "Line",
    "LinearSequenceMap",
    "Map",
    "Mix",
    "Node",
    "Rank",
    "RaspProgram",
    "Select",
    "SelectorWidth",
    "SequenceMap",
    "Tokens",
    "Value",
    "build",
    "compiled",
    "expressions",
    "from_text",
    "interpret",
    "is_numerical",
    "to_text",
]


def compiled(text: str) -> rasp.SOp:
    """The RASP program for a text from `to_text`. Raises UsageError as `from_text`."""
    return build(from_text(text))
