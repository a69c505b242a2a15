"""A RASP program as an expression tree (Weiss et al., 2021, arXiv:2106.06981, in Tracr's dialect).

An expression has a value at every position: a class (Tracr: categorical) or a number (numerical). Constructors reject what
Tracr cannot compile.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

from capbench.errors import UsageError
from capbench.tasks.rasp.functions import AtLeast, Function, Line, Mix, Rank

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "true": lambda key, query: True,
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "!=": operator.ne,
}


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The input tokens."""


@dataclass(frozen=True, kw_only=True)
class Indices:
    """The positions from 0, not counting BOS."""


@dataclass(frozen=True, kw_only=True)
class Select:
    """For every position, the positions for which `key comparison query` holds: keys are compared with its value in `queries`.

    comparison: one of COMPARISONS; "true" selects all positions. keys and queries are classes.
    """

    keys: Value
    queries: Value
    comparison: str

    def __post_init__(self) -> None:
        _require_values("Select", self.keys, self.queries, numerical=False)
        if self.comparison not in COMPARISONS:
            raise UsageError(f"Select: comparison {self.comparison!r} must be one of {', '.join(COMPARISONS)}")


@dataclass(frozen=True, kw_only=True)
class SelectorWidth:
    """The number of selected positions, a class."""

    select: Select

    def __post_init__(self) -> None:
        _require_select("SelectorWidth", self.select)


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """The average value over the selected positions; if there are none, 0 for numbers and None for classes.

    Numbers must be indicators (numerical Map of AtLeast). A compiled program cannot average classes: it gives one of the
    selected ones.
    """

    select: Select
    values: Value

    def __post_init__(self) -> None:
        _require_select("Aggregate", self.select)
        _require_values("Aggregate", self.values)
        if is_numerical(self.values) and not is_indicator(self.values):
            raise UsageError(
                f"Aggregate: Tracr averages only the numbers 0 and 1: values must be a numerical Map of AtLeast, not a "
                f"{type(self.values).__name__} of other numbers"
            )


@dataclass(frozen=True, kw_only=True)
class Map:
    """A function of one value. numerical: the result is a number, not a class."""

    function: Function
    of: Value
    numerical: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.function, Function):
            raise UsageError(f"Map: function {self.function!r} must be a Rank, Affine, AtLeast or Line")
        _require_values("Map", self.of)
        if isinstance(self.function, Rank) and not isinstance(self.of, Tokens):
            raise UsageError(f"Map: Rank applies to Tokens, not to {type(self.of).__name__}")
        if isinstance(self.function, Line) and not self.numerical:
            raise UsageError("Map: Line gives numbers: numerical must be True")
        if isinstance(self.function, Line):  # from classes Tracr silently makes no negative numbers
            _require_values("Map of Line", self.of, numerical=True)


@dataclass(frozen=True, kw_only=True)
class SequenceMap:
    """A function of two classes."""

    function: Mix
    first: Value
    second: Value

    def __post_init__(self) -> None:
        if not isinstance(self.function, Mix):
            raise UsageError(f"SequenceMap: function {self.function!r} must be a Mix")
        _require_values("SequenceMap", self.first, self.second, numerical=False)
        _require_two("SequenceMap", self.first, self.second)


@dataclass(frozen=True, kw_only=True)
class LinearSequenceMap:
    """first_factor * first + second_factor * second, for two numbers."""

    first: Value
    second: Value
    first_factor: float
    second_factor: float

    def __post_init__(self) -> None:
        _require_values("LinearSequenceMap", self.first, self.second, numerical=True)
        _require_two("LinearSequenceMap", self.first, self.second)


Value = Tokens | Indices | Map | SequenceMap | LinearSequenceMap | Aggregate | SelectorWidth
Node = Value | Select


@dataclass(frozen=True, kw_only=True)
class RaspProgram:
    """A program and its domain: strings of 1 to max_seq_len tokens of `vocab`, all integers or all strings."""

    output: Value
    vocab: tuple[str | int, ...] = (0, 1, 2)
    max_seq_len: int = 4

    def __post_init__(self) -> None:
        _require_values("program", self.output)
        if not isinstance(self.vocab, tuple):
            raise UsageError(f"vocab {self.vocab!r} must be a tuple of distinct tokens, all integers or all strings")
        kinds = {type(token) for token in self.vocab}
        if len(set(self.vocab)) != len(self.vocab) or kinds not in ({int}, {str}):
            raise UsageError(f"vocab {self.vocab!r} must be distinct tokens, all integers or all strings")
        length = self.max_seq_len
        if not isinstance(length, Integral) or isinstance(length, bool) or length < 1:
            raise UsageError(f"max_seq_len {length!r} must be a number of tokens, 1 or more")
        object.__setattr__(self, "max_seq_len", int(length))  # it may be numpy's
        if isinstance(self.output, (Tokens, Indices)):
            raise UsageError(
                f"the program returns its {type(self.output).__name__} unchanged: there is nothing to compile"
            )
        found = expressions(self.output)
        if Tokens() not in found:
            raise UsageError(
                f"the program ({_listed(found)}) does not read its Tokens; Tracr compiles only programs that do"
            )
        for node in found:
            if isinstance(node, Map) and isinstance(node.function, Rank) and node.function.values != self.vocab:
                raise UsageError(f"Rank of {node.function.values!r} must be over the vocab {self.vocab!r}")
            if isinstance(node, (Map, SequenceMap)) and kinds == {str} and Tokens() in children(node):
                if isinstance(node, Map) and isinstance(node.function, Rank):
                    continue
                raise UsageError(
                    f"{type(node).__name__} needs numbers, not the letters of {self.vocab!r}: take their Rank"
                )


def is_numerical(value: Node) -> bool:
    """Whether its values are numbers (one dimension of the residual stream), not classes (one dimension per class)."""
    match value:
        case Map():
            return value.numerical
        case Aggregate():
            return is_numerical(value.values)
        case _:
            return isinstance(value, LinearSequenceMap)


def is_indicator(value: Node) -> bool:
    """Whether its values are the numbers 0 and 1."""
    return isinstance(value, Map) and value.numerical and isinstance(value.function, AtLeast)


def children(node: Node) -> tuple[Node, ...]:
    """The direct subexpressions, in field order."""
    return tuple(v for f in fields(node) if isinstance(v := getattr(node, f.name), Node))


def expressions(node: Node) -> tuple[Node, ...]:
    """All subexpressions including itself, each once, after its children."""
    found: dict[Node, None] = {}

    def visit(inner: Node) -> None:
        if inner not in found:
            for child in children(inner):
                visit(child)
            found[inner] = None

    visit(node)
    return tuple(found)


def _listed(nodes: tuple[Node, ...]) -> str:
    return ", ".join(type(node).__name__ for node in nodes)


def _require_values(name: str, *values: object, numerical: bool | None = None) -> None:
    for value in values:
        if not isinstance(value, Value):
            raise UsageError(f"{name}: {value!r} must be an expression with a value for every position")
        if numerical is not None and is_numerical(value) != numerical:
            wanted, got = ("numbers", "classes") if numerical else ("classes", "numbers")
            raise UsageError(f"{name}: it takes {wanted}, but the {type(value).__name__} gives {got}")


def _require_select(name: str, select: object) -> None:
    if not isinstance(select, Select):
        raise UsageError(f"{name}: select {select!r} must be a Select")


def _require_two(name: str, first: Value, second: Value) -> None:
    if first == second:
        raise UsageError(f"{name}: both inputs are the same {type(first).__name__}; use a Map")
