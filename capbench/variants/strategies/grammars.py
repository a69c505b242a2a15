"""Grammars drawn by Hypothesis: few letters, some depth, with or without recursion; every text is possible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from string import ascii_lowercase

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from capbench.errors import UsageError
from capbench.tasks.pcfg.grammar import Grammar, Rule

START = "S"
_Symbols = tuple[str, ...]
_Weighted = Mapping[_Symbols, int]  # right-hand side -> weight


def grammars(
    *,
    min_letters: int = 3,
    max_letters: int = 5,
    max_depth: int = 4,
    recursive: bool | None = None,
    min_length: int = 16,
) -> SearchStrategy[Grammar]:
    """Grammars over the first letters of the alphabet whose strings have at least min_length symbols.

    Drawn: the number of letters; 1 to max_depth levels below the start symbol with up to three nonterminals each, and up to
    three alternatives each; words of the lowest level; probabilities; whether one symbol is recursive (recursive: None
    means either), with a max_length that at least half of all strings satisfy.
    Shrinks to S -> X1 … X1 (min_length times), X1 -> a | b | c with equal probabilities.

    Every nonterminal of the lowest level can be any single letter, each about as likely, or one of some longer words. So every
    sequence of min_length letters is (part of) a string, counts spread as widely as in independent draws, and no answer
    that a text can have at all is far out of reach. Nothing is filtered. Raises UsageError for impossible limits.
    """
    if not 1 <= min_letters <= max_letters <= len(ascii_lowercase):
        raise UsageError(
            f"min_letters {min_letters} and max_letters {max_letters} must be from 1 to {len(ascii_lowercase)}, in this order"
        )
    if max_depth < 1 or min_length < 1:
        raise UsageError(f"max_depth {max_depth} and min_length {min_length} must be at least 1")
    return _grammars(min_letters, max_letters, max_depth, recursive, min_length)


@st.composite
def _grammars(
    draw: st.DrawFn, min_letters: int, max_letters: int, max_depth: int, recursive: bool | None, min_length: int
) -> Grammar:
    letters = tuple(ascii_lowercase[: draw(st.integers(min_letters, max_letters))])
    recurs = draw(st.booleans()) if recursive is None else recursive
    levels: list[dict[str, _Weighted]] = [_level(1, draw(st.lists(_leaves(letters), min_size=1, max_size=3)))]
    for n in range(2, 1 + draw(st.integers(1, max_depth))):
        levels.append(_level(n, draw(st.lists(_nodes(tuple(levels[-1])), min_size=1, max_size=3))))
    rules = {parent: _rules(weighted) for level in levels for parent, weighted in level.items()}
    lengths = _shortest(rules)
    patterns = draw(st.lists(_sequences(tuple(levels[-1])), min_size=1, max_size=2))
    tops = [p * math.ceil(min_length / sum(lengths[s] for s in p)) for p in patterns]
    rules = _reachable({START: _rules(dict.fromkeys(tops, 1)), **rules})
    if not recurs:
        return Grammar(start=START, rules=rules, terminals=letters)
    # The start symbol first: one of its patterns without the copies. Else a whole right-hand side of a node or leaf.
    parent = draw(st.sampled_from(list(rules)))
    beside = patterns[0] if parent == START else draw(st.sampled_from(rules[parent]))[0]
    before, after = draw(st.sampled_from([(beside, ()), ((), beside), (beside, beside)]))
    p = draw(st.sampled_from([0.25, 0.125]))
    rules = {
        **rules,
        parent: (*((symbols, (1 - p) * q) for symbols, q in rules[parent]), ((*before, parent, *after), p)),
    }
    # By Markov's inequality at least half of all strings are at most twice as long as the mean.
    most = draw(st.integers(2, 4)) * math.ceil(mean_lengths(rules)[START])
    return Grammar(start=START, rules=rules, terminals=letters, max_length=most)


@cache  # Hypothesis checks every strategy once
def _leaves(letters: _Symbols) -> SearchStrategy[_Weighted]:
    """The words of a lowest-level nonterminal: each letter alone, and up to two of two or three letters (aaa, ba)."""
    singles = st.tuples(*(st.integers(2, 4) for _ in letters))  # the rarest letter is about half as likely as others
    word = st.lists(st.sampled_from(letters), min_size=2, max_size=3).map(tuple)
    more = st.lists(word, max_size=2)  # at most half as likely as a letter, so that no letter is everywhere
    return st.tuples(singles, more).map(
        lambda drawn: {**{(x,): w for x, w in zip(letters, drawn[0], strict=True)}, **dict.fromkeys(drawn[1], 1)}
    )


@cache
def _nodes(below: _Symbols) -> SearchStrategy[_Weighted]:
    """The alternatives of a higher nonterminal: sequences of nonterminals of the level below."""
    return st.lists(st.tuples(_sequences(below), st.integers(1, 4)), min_size=1, max_size=3).map(dict)


@cache
def _sequences(symbols: _Symbols) -> SearchStrategy[_Symbols]:
    return st.lists(st.sampled_from(symbols), min_size=1, max_size=3).map(tuple)


def _level(n: int, alternatives: Sequence[_Weighted]) -> dict[str, _Weighted]:
    """The nonterminals of the n-th level from below: X1, X2 and X3 (n = 1), Y1 and so on, then N4.1 and so on."""
    name = {1: "X", 2: "Y", 3: "Z"}.get(n, f"N{n}.")
    return {f"{name}{i}": weighted for i, weighted in enumerate(alternatives, 1)}


def _rules(weighted: _Weighted) -> tuple[Rule, ...]:
    total = sum(weighted.values())
    return tuple((symbols, weight / total) for symbols, weight in weighted.items())


def _reachable(rules: Mapping[str, tuple[Rule, ...]]) -> dict[str, tuple[Rule, ...]]:
    """The rules that a derivation from the start symbol can use, from the top down."""
    found: dict[str, tuple[Rule, ...]] = {}
    waiting = [START]
    while waiting:
        symbol = waiting.pop(0)
        if symbol in rules and symbol not in found:
            found[symbol] = rules[symbol]
            waiting += [s for symbols, _ in rules[symbol] for s in symbols]
    return found


def _shortest(rules: Mapping[str, tuple[Rule, ...]]) -> dict[str, int]:
    """Length of the shortest string of each symbol; rules from the lowest level up, without recursion."""
    found: dict[str, int] = {}
    for parent, alternatives in rules.items():
        found[parent] = min(sum(found.get(s, 1) for s in symbols) for symbols, _ in alternatives)
    return found


def mean_lengths(rules: dict[str, tuple[Rule, ...]]) -> dict[str, float]:
    """Mean length of each symbol's strings, ignoring max_length.

    rules: from the top down; a symbol may contain itself in one of its rules, but no other symbol that contains it.
    """
    found: dict[str, float] = {}
    for parent, alternatives in reversed(rules.items()):
        again = sum(p * symbols.count(parent) for symbols, p in alternatives)
        added = sum(p * sum(found.get(s, 1.0) for s in symbols if s != parent) for symbols, p in alternatives)
        found[parent] = added / (1 - again)
    return found
