"""Running RASP programs: an interpreter, and a translation to Tracr's own programs.

tracr is imported only when a program is built; the interpreter does not need it, so each checks the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from capbench.errors import UsageError
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
    expressions,
    is_numerical,
)

if TYPE_CHECKING:
    from tracr.rasp import rasp


def interpret(program: RaspProgram, tokens: Sequence[str | int]) -> list[Any]:
    """The program's value at every position of a string (no BOS, no padding), as RASP defines it.

    None where classes are aggregated and no position is selected, and in any map of such a value. Raises UsageError for a
    string of wrong length or tokens, or if a Select compares a None.
    """
    if not 1 <= len(tokens) <= program.max_seq_len:
        raise UsageError(f"a string of {len(tokens)} tokens: it must have 1 to {program.max_seq_len}")
    if strange := [token for token in tokens if token not in program.vocab]:
        raise UsageError(f"token {strange[0]!r} is not in the vocab {program.vocab!r}")
    found: dict[Node, list[Any]] = {}
    for node in expressions(program.output):
        found[node] = _evaluated(node, found, tokens)
    return found[program.output]


def _evaluated(node: Node, found: dict[Node, list[Any]], tokens: Sequence[str | int]) -> list[Any]:
    """A value for every position; for a Select, whether each key is selected, per query. found: values of its children."""
    match node:
        case Tokens():
            return list(tokens)
        case Indices():
            return list(range(len(tokens)))
        case Map(function=function):
            return [None if x is None else function(x) for x in found[node.of]]
        case SequenceMap(function=function):
            pairs = zip(found[node.first], found[node.second], strict=True)
            return [None if x is None or y is None else function(x, y) for x, y in pairs]
        case LinearSequenceMap(first_factor=a, second_factor=b):
            return [a * x + b * y for x, y in zip(found[node.first], found[node.second], strict=True)]
        case Select(comparison=comparison):
            keys, queries = found[node.keys], found[node.queries]
            if None in keys or None in queries:
                raise UsageError(f"Select: {comparison} cannot compare the None that the string {list(tokens)!r} gives")
            return [[COMPARISONS[comparison](key, query) for key in keys] for query in queries]
        case SelectorWidth():
            return [sum(row) for row in found[node.select]]
        case Aggregate():
            default = 0 if is_numerical(node) else None
            values = found[node.values]
            chosen = [[v for v, here in zip(values, row, strict=True) if here] for row in found[node.select]]
            return [_mean(some, default, tokens) for some in chosen]


def _mean(values: list[Any], default: int | None, tokens: Sequence[str | int]) -> Any:
    if len(values) < 2:
        return values[0] if values else default
    if not all(isinstance(value, (int, float)) for value in values):
        raise UsageError(f"Aggregate: cannot average {values!r} (string {list(tokens)!r}): they must be numbers")
    return sum(values) / len(values)


def build(program: RaspProgram) -> rasp.SOp:
    """The program as Tracr's, for compile_rasp or to be called with a string. Equal expressions are built once."""
    from tracr.rasp import rasp

    comparisons = {name: rasp.Comparison("True" if name == "true" else name) for name in COMPARISONS}
    made: dict[Node, Any] = {}
    for node in expressions(program.output):
        match node:
            case Tokens():
                new: Any = rasp.tokens
            case Indices():
                new = rasp.indices
            case Map():
                # Not merged with an inner Map: from classes Tracr makes no negative numbers, but gives 0 instead.
                new = rasp.Map(node.function, made[node.of], simplify=False)
            case SequenceMap():
                new = rasp.SequenceMap(node.function, made[node.first], made[node.second])
            case LinearSequenceMap():
                factors = node.first_factor, node.second_factor
                new = rasp.LinearSequenceMap(made[node.first], made[node.second], *factors)
            case Select():
                new = rasp.Select(made[node.keys], made[node.queries], comparisons[node.comparison])
            case SelectorWidth():
                new = rasp.SelectorWidth(made[node.select])
            case Aggregate():
                default = 0 if is_numerical(node) else None
                new = rasp.Aggregate(made[node.select], made[node.values], default=default)
        made[node] = rasp.numerical(new) if is_numerical(node) else new
    built: rasp.SOp = made[program.output]
    return built
