"""The paper's RASP programs: Counter and Max-identifier (paper App. B.1).

Each gives its answer at the second content position (index 1; the Max-identifier at every position). Functions import tracr:
a task can be described and sampled without it.

Every expression has a unique name that is no prefix of another: the dimensions of a compiled model's residual stream are sorted
by these names and read by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from capbench.errors import UsageError

if TYPE_CHECKING:
    from tracr.rasp import rasp

_LARGEST_EXACT = 9  # the largest count that Tracr compiles exactly


def count(letter: str) -> rasp.SOp:
    """Counter: at index 1 the occurrences of `letter`, at index 0 the number of other letters, elsewhere 0.

    The selector fires where the indicator of the letter (0 or 1) equals the index. Expects two letters or more.
    """
    return _told(_occurrences(letter), letter)


def relabelled_count(letter: str, shift: int, classes: int) -> rasp.SOp:
    """`count` behind a wrapper g: the counting circuit unchanged, its answer mapped to (count + shift) modulo `classes`.

    classes: one more than the largest possible count. Raises UsageError for a shift that changes nothing.
    """
    from tracr.rasp import rasp

    if shift % classes == 0:
        raise UsageError(f"shift {shift} must not be a multiple of {classes}: it would hide nothing")
    return _told(rasp.Map(lambda number: (number + shift) % classes, _occurrences(letter)).named("shown"), letter)


def _occurrences(letter: str) -> rasp.SOp:
    """The count that `count` gives, at every index."""
    from tracr.rasp import rasp

    indicator = (rasp.tokens == letter).named(f"is_{letter}")
    return rasp.SelectorWidth(rasp.Select(indicator, rasp.indices, rasp.Comparison.EQ).named("hits")).named("count")


def _told(answer: rasp.SOp, letter: str) -> rasp.SOp:
    """The answer, written to the residual stream by an attention head that attends to its own position.

    Compiled, larger counts of the letter run into one another, and so do those at index 0; no task asks for them.
    """
    from tracr.rasp import rasp

    def asked(string: Sequence[str]) -> list[int]:
        return [1] if string.count(letter) <= _LARGEST_EXACT else []

    itself = rasp.Select(rasp.indices, rasp.indices, rasp.Comparison.EQ).named("same_index")
    return rasp.Aggregate(itself, answer).named("answer").annotated(asked=asked)


def kth_largest(k: int) -> rasp.SOp:
    """Max-identifier: at every index the k-th largest letter in the order a > b > c … (alphabetically the k-th).

    Expects k or more letters without repetition. Raises UsageError for k < 1.
    """
    from tracr.rasp import rasp

    if k < 1:
        raise UsageError(f"rank {k} must be 1 (the largest letter) or more")
    # As tracr.compiler.lib.make_sort_unique, which cannot be imported without jax.
    before = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.LT).named("before")
    place = rasp.SelectorWidth(before).named("place")
    placed_here = rasp.Select(place, rasp.indices, rasp.Comparison.EQ).named("here")
    ordered = rasp.Aggregate(placed_here, rasp.tokens).named("sorted")
    kth = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == k - 1).named("kth")
    return rasp.Aggregate(kth, ordered).named("answer")


def interpret(program: rasp.SOp, letters: Sequence[str]) -> list[Any]:
    """The program's value at every position of a string of letters (no BOS, no padding), by tracr's interpreter."""
    return list(program(list(letters)))
