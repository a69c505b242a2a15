"""RASP programs that Tracr compiles exactly: model and program agree on every string."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from numbers import Integral
from typing import Any

from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.tasks.rasp import (
    COMPARISONS,
    Affine,
    Aggregate,
    AtLeast,
    Indices,
    Line,
    LinearSequenceMap,
    Map,
    Mix,
    Rank,
    RaspProgram,
    Select,
    SelectorWidth,
    SequenceMap,
    Tokens,
    Value,
    expressions,
    is_numerical,
)

_LARGEST = 4  # the largest computed class; small, so that spaces stay small
_CONSTANTS = (*range(1, _LARGEST + 1), 0)
# In one piece, the simplest first: fewer choices count as simpler, and a Map must be the simplest of all.
_MODULI = range(_LARGEST + 1, 1, -1)
_AFFINE = [(a, b, m) for m, b, a in product(_MODULI, range(_LARGEST + 1), _CONSTANTS)]
_MIXES = [(a, b, m) for m, a, b in product(_MODULI, _CONSTANTS, _CONSTANTS)]
_FACTORS = [*product((1, 2, -1, -2), repeat=2)]


def rasp_programs(
    *, max_operations: int = 5, vocab: Sequence[int] | Sequence[str] = (0, 1, 2), max_seq_len: int = 4
) -> st.SearchStrategy[RaspProgram]:
    """Returns a strategy for RASP programs of one to ``max_operations`` operations, each on results of earlier ones.

    Every program reads its tokens. Compiled by Tracr, it agrees on every string of up to ``max_seq_len`` tokens with
    :func:`capbench.tasks.rasp.interpret`, to 1e-3, wherever that is not None. So

    - classes are never averaged: they are aggregated from the one position that a query names;
    - a value that may be None (no position was named) is never compared and never becomes a number;
    - a class made of a number is never a key, and neither is what is made of it;
    - averages (of indicators) are added, or compared with a threshold that Tracr's rounding respects; other numbers are mapped,
      too.

    Computed classes are integers from 0 to 4, except widths (up to ``max_seq_len``) and those of a vocab with larger ones.
    Letters, a ``vocab`` of strings, are read by their number in it.

    Examples from this strategy shrink towards fewer operations and towards one Map of the tokens by the identity (for a
    vocab within 0 to 4).

    Raises UsageError for fewer than 1 operation, and for a vocab or length that no program has.
    """
    if not isinstance(max_operations, Integral) or isinstance(max_operations, bool) or max_operations < 1:
        raise UsageError(f"max_operations {max_operations!r} must be a number of operations, 1 or more")
    if not isinstance(vocab, Iterable):
        raise UsageError(f"vocab {vocab!r} must be distinct tokens, all integers or all strings")
    tokens: tuple[int | str, ...] = tuple(vocab)
    RaspProgram(output=_identity(_input(tokens)), vocab=tokens, max_seq_len=max_seq_len)  # refuses impossible values
    return _programs(int(max_operations), tokens, int(max_seq_len))


@dataclass
class _Pool:
    """The values made so far, by what may be done with them. `classes` may be compared; `unsure` may be None."""

    classes: list[Value]
    unsure: list[Value] = field(default_factory=list)
    binary: list[Value] = field(default_factory=list)
    whole: list[Value] = field(default_factory=list)  # non-binary numbers whose possible values Tracr knows
    averages: list[Value] = field(default_factory=list)  # comparable with a threshold
    sums: list[Value] = field(default_factory=list)  # other averages, and sums of averages

    @property
    def numbers(self) -> list[Value]:
        return self.binary + self.whole + self.averages + self.sums


@st.composite
def _programs(draw: st.DrawFn, max_operations: int, vocab: tuple[int | str, ...], max_seq_len: int) -> RaspProgram:
    tokens = _input(vocab)
    thresholds = sorted({*_CONSTANTS, *(v for v in vocab if isinstance(v, int))}, key=lambda v: (v < 1, v))
    pool = _Pool([tokens, Indices()])
    made: Value = tokens

    def one_of(values: list[Value]) -> Value:
        return draw(st.sampled_from(values + values[-1:] * 2))  # the last one made is used more often

    def reading(values: list[Value]) -> list[Value]:
        """The operands to choose from: for the last operation those that lead to the tokens, else all."""
        return [v for v in values if Tokens() in expressions(v)] if last else values

    def averaged() -> list[Value]:
        return [value for value in reading(pool.binary) if not _at_bos(value)]

    def affine() -> Affine:
        a, b, modulo = draw(st.sampled_from(_AFFINE))
        return Affine(a=a, b=b, modulo=modulo)

    def select(keys: list[Value]) -> Select:
        comparison = draw(st.sampled_from([*COMPARISONS]))
        return Select(
            keys=one_of([key for key in keys if not _at_bos(key)]), queries=one_of(pool.classes), comparison=comparison
        )

    def position() -> Select:
        return Select(keys=Indices(), queries=one_of(pool.classes), comparison="==")

    def pair(values: list[Value]) -> tuple[Value, Value]:
        first = one_of(reading(values))
        return first, one_of([v for v in values if v != first])

    operations = draw(st.integers(1, max_operations))
    for i in range(operations):
        last = i == operations - 1
        # Operations on numbers get a large share: they need numbers to be there first, so few programs would have any otherwise.
        kinds = ["map", "sequence map", "width", "fetch", "indicator", "indicator"]
        if averaged():
            kinds += ["average"] * 5
        if reading(pool.binary + pool.whole):
            kinds += ["number to number", "number to class"]
        if reading(pool.averages):
            kinds += ["average to class"] * 4
        if len(pool.numbers) > 1 and reading(pool.numbers):
            kinds += ["linear"] * 12
        match draw(st.sampled_from(kinds)):
            case "map":
                of = one_of(reading(pool.classes + pool.unsure))
                made, goes_to = Map(function=affine(), of=of), pool.unsure if of in pool.unsure else pool.classes
            case "sequence map":
                first, second = pair(pool.classes + pool.unsure)
                a, b, modulo = draw(st.sampled_from(_MIXES))
                made = SequenceMap(function=Mix(a=a, b=b, modulo=modulo), first=first, second=second)
                goes_to = pool.unsure if first in pool.unsure or second in pool.unsure else pool.classes
            case "width":
                made, goes_to = SelectorWidth(select=select(reading(pool.classes))), pool.classes
            case "fetch":
                values = one_of(reading(pool.classes + pool.unsure))
                made, goes_to = Aggregate(select=position(), values=values), pool.unsure
            case "indicator":
                function = AtLeast(value=draw(st.sampled_from(thresholds)))
                made = Map(function=function, of=one_of(reading(pool.classes)), numerical=True)
                goes_to = pool.binary
            case "average":
                values = one_of(averaged())
                made = Aggregate(select=select(pool.classes), values=values)
                # For an indicator that is never 0 Tracr does not expect the average 0 of an empty selection.
                goes_to = pool.averages if 0 in _may_be(values, vocab, max_seq_len) else pool.sums
            case "number to number":
                line = Line(slope=3, intercept=-1)
                made = Map(function=line, of=one_of(reading(pool.binary + pool.whole)), numerical=True)
                goes_to = pool.whole
            case "number to class":
                made, goes_to = Map(function=affine(), of=one_of(reading(pool.binary + pool.whole))), pool.classes
            case "average to class":
                share = AtLeast(value=1 / draw(st.sampled_from(_kept_apart(max_seq_len))))
                made, goes_to = Map(function=share, of=one_of(reading(pool.averages))), pool.classes
            case _:
                first, second = pair(pool.numbers)
                a, b = draw(st.sampled_from(_FACTORS))
                made = LinearSequenceMap(first=first, second=second, first_factor=a, second_factor=b)
                goes_to = pool.whole if {first, second} <= {*pool.binary, *pool.whole} else pool.sums
        if made not in goes_to:
            goes_to.append(made)
    return RaspProgram(output=made, vocab=vocab, max_seq_len=max_seq_len)


def _input(vocab: tuple[int | str, ...]) -> Value:
    """The tokens, as integers."""
    letters = bool(vocab) and all(isinstance(token, str) for token in vocab)
    return Map(function=Rank(values=vocab), of=Tokens()) if letters else Tokens()


def _at_bos(value: Value) -> bool:
    """Whether it may have a value at BOS, which Tracr then takes for a position like others.

    Tracr computes a map of numbers there, too, from the number 0. So as a key it would be selected there, and an average of
    nothing would be its own.
    """
    match value:
        case Map():
            return is_numerical(value.of) or _at_bos(value.of)
        case SequenceMap() | LinearSequenceMap():
            return _at_bos(value.first) or _at_bos(value.second)
        case SelectorWidth() | Aggregate():
            own = isinstance(value, Aggregate) and _at_bos(value.values)
            return own or _at_bos(value.select.keys) or _at_bos(value.select.queries)
        case _:
            return False


def _identity(value: Value) -> Value:
    return Map(function=Affine(a=1, b=0, modulo=_LARGEST + 1), of=value)


def _may_be(value: Value, vocab: tuple[int | str, ...], max_seq_len: int) -> set[Any]:
    """The values that Tracr assumes an expression can have: all combinations of those of its parts."""

    def of(inner: Value) -> set[Any]:
        return _may_be(inner, vocab, max_seq_len)

    match value:
        case Indices():
            return set(range(max_seq_len))
        case SelectorWidth():
            return set(range(max_seq_len + 1))
        case Map():
            return {value.function(x) for x in of(value.of)}
        case SequenceMap():
            return {value.function(x, y) for x, y in product(of(value.first), of(value.second))}
        case Aggregate():
            return of(value.values)
        case _:
            return set(vocab)


def _kept_apart(max_seq_len: int) -> list[int]:
    """Those j for which an average of indicators over at most max_seq_len positions may be compared with 1/j.

    Tracr rounds an average to the nearest of 0 and 1/n, n to max_seq_len. That must not bring one below 1/j up to it: none
    lies between 1/j and the middle to the next smaller of these. This always holds for the smallest, 1/max_seq_len.
    """
    averages = {k / n for n in range(1, max_seq_len + 1) for k in range(n + 1)}

    def kept(j: int) -> bool:
        below = 1 / (j + 1) if j < max_seq_len else 0.0
        middle = (1 / j + below) / 2
        return not any(middle - 0.02 < average < 1 / j for average in averages)

    return [j for j in range(max_seq_len, 0, -1) if kept(j)]
