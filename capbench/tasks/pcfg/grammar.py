"""Probabilistic context-free grammars: the paper's, and a vectorised sampler for any grammar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from capbench.errors import UsageError

Rule = tuple[tuple[str, ...], float]  # right-hand side and its probability
_MOST_SYMBOLS = 2**27  # of one draw: about 2 GB of working memory
_MOST_LEVELS = 10_000  # of a derivation; only single-symbol rules can need this many
_MOST_REJECTED = 1000  # strings drawn per accepted one


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """A PCFG: every nonterminal has rules whose probabilities sum to 1, terminals have none.

    max_length: longer strings are rejected and redrawn; required if a symbol can derive itself. Raises UsageError for an
    unknown symbol, a nonterminal without terminating derivation, an empty right-hand side, a probability outside (0, 1] or
    probabilities that do not sum to one.
    """

    start: str
    rules: Mapping[str, tuple[Rule, ...]]
    terminals: tuple[str, ...]
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.start not in self.rules:
            raise UsageError(f"grammar: start symbol {self.start!r} has no rule")
        if not self.terminals or len(set(self.terminals)) < len(self.terminals):
            raise UsageError(f"grammar: terminals {self.terminals} must be one or more distinct symbols")
        for parent, alternatives in self.rules.items():
            self._check(parent, alternatives)
        barren = [symbol for symbol in self.rules if symbol not in self._shortest]
        if barren:
            raise UsageError(f"grammar: {barren[0]!r} has no rule that terminates: no string can be derived from it")
        if self.max_length is None:
            if self._longest is None:
                raise UsageError("grammar: a symbol can derive itself, so strings are unbounded: set max_length")
        elif self.max_length < self.shortest:
            raise UsageError(
                f"grammar: max_length {self.max_length} must be at least {self.shortest}, the length of its shortest string"
            )

    def _check(self, parent: str, alternatives: tuple[Rule, ...]) -> None:
        if parent in self.terminals:
            raise UsageError(f"grammar: {parent!r} is a terminal, but has rules")
        for symbols, p in alternatives:
            if not symbols or not 0 < p <= 1:
                raise UsageError(
                    f"grammar: rule {parent!r} -> {symbols!r} with probability {p!r}: it needs a symbol and 0 < p <= 1"
                )
            for symbol in symbols:
                if symbol not in self.rules and symbol not in self.terminals:
                    raise UsageError(
                        f"grammar: unknown symbol {symbol!r} in rule {parent!r} -> {' '.join(symbols)}: neither rule nor terminal"
                    )
        total = sum(p for _, p in alternatives)
        if abs(total - 1.0) > 1e-9:
            left = f"{1 - total:g} is missing" if total < 1 else f"{total - 1:g} too much"
            raise UsageError(f"grammar: the probabilities of {parent!r} sum to {total:g}, not 1: {left}")

    @property
    def longest(self) -> int | None:
        """Length of the longest string; with max_length, an upper bound. None would mean unbounded, which is refused."""
        bounds = [bound for bound in (self._longest, self.max_length) if bound is not None]
        return min(bounds, default=None)

    @property
    def shortest(self) -> int:
        """Length of the shortest string."""
        return self._shortest[self.start]

    @cached_property
    def _shortest(self) -> dict[str, int]:
        """Length of the shortest string of every symbol that derives one."""
        found = dict.fromkeys(self.terminals, 1)
        for _ in self.rules:  # a shortest derivation is no deeper than the number of nonterminals
            for parent, alternatives in self.rules.items():
                lengths = [
                    sum(found[s] for s in symbols) for symbols, _ in alternatives if all(s in found for s in symbols)
                ]
                if lengths:
                    found[parent] = min(lengths)
        return found

    @cached_property
    def _longest(self) -> int | None:
        """Length of the longest string from the start symbol, ignoring max_length; None if unbounded."""
        found: dict[str, int] = dict.fromkeys(self.terminals, 1)
        for _ in self.rules:
            for parent, alternatives in self.rules.items():
                if parent not in found and all(s in found for symbols, _ in alternatives for s in symbols):
                    found[parent] = max(sum(found[s] for s in symbols) for symbols, _ in alternatives)
        return found.get(self.start)

    @cached_property
    def tables(self) -> _Tables:
        return _Tables.build(self)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw n strings.

        Returns (symbols, lengths): all strings concatenated, as indices into `terminals` (int16 [sum of lengths]), and the
        length of each (int64 [n]). Raises UsageError if too few strings are within max_length.
        """
        found = [self._strings(n, rng)]
        missing, drawn = n - len(found[0][1]), n
        while missing > 0:
            if drawn > _MOST_REJECTED * n + 100_000:
                raise UsageError(
                    f"grammar: too few strings have at most max_length {self.max_length} symbols ({drawn} drawn)"
                )
            more = int(1.2 * missing * drawn / max(n - missing, 1)) + 16
            more = min(more, 2 * n + 1000)
            symbols, lengths = self._strings(more, rng)
            symbols, lengths = symbols[: lengths[:missing].sum()], lengths[:missing]
            found.append((symbols, lengths))
            missing, drawn = missing - len(lengths), drawn + more
        if len(found) == 1:
            return found[0]
        return np.concatenate([symbols for symbols, _ in found]), np.concatenate([lengths for _, lengths in found])

    def _strings(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """As `sample`, but without the strings that exceed max_length."""
        t = self.tables
        symbols = np.full(n, t.start, dtype=np.int16)
        ends = np.arange(1, n + 1)  # of the strings
        for _ in range(_MOST_LEVELS):
            rule = _choose(t, symbols, rng)
            sizes = t.rule_size[rule]
            symbol_ends = np.cumsum(sizes, dtype=np.int64)
            if len(symbols) and symbol_ends[-1] > _MOST_SYMBOLS:
                raise UsageError(
                    f"grammar: {n} strings grew beyond {_MOST_SYMBOLS} symbols (rules that recurse too often?)"
                )
            # Every symbol is replaced by the right-hand side of its rule; a terminal's only "rule" is itself.
            ends = symbol_ends[ends - 1]
            at = np.repeat(t.rule_first[rule] - (symbol_ends - sizes).astype(np.int32), sizes)
            at += np.arange(len(at), dtype=np.int32)
            symbols = t.rule_symbols.take(at)
            lengths = np.diff(ends, prepend=0)
            grows = t.grows[rule].any()
            if self.max_length is not None and (lengths > self.max_length).any():  # strings never shrink
                short = lengths <= self.max_length
                symbols, lengths = symbols[np.repeat(short, lengths)], lengths[short]
                ends = np.cumsum(lengths)
                grows = (symbols < t.first_terminal).any()
            if not grows:
                return symbols - t.first_terminal, lengths
        raise UsageError(f"grammar: strings still hold nonterminals after {_MOST_LEVELS} levels (recursive rules?)")


@dataclass(frozen=True)
class _Tables:
    """The rules as arrays, so that a few numpy calls expand one level of all strings."""

    start: int
    first_terminal: np.int16  # the terminals are the last symbols
    first_rule: np.ndarray  # [symbols] int32
    thresholds: np.ndarray  # [symbols, alternatives - 1] float32: cumulative probabilities
    rule_size: np.ndarray  # [rules] int32
    rule_first: np.ndarray  # [rules] int32: where its symbols begin in rule_symbols
    rule_symbols: np.ndarray  # int16: right-hand sides, one after another
    grows: np.ndarray  # [rules] bool: whether the right-hand side has a nonterminal

    @classmethod
    def build(cls, grammar: Grammar) -> _Tables:
        names = [*grammar.rules, *grammar.terminals]
        index = {name: i for i, name in enumerate(names)}
        alternatives = [grammar.rules.get(name, (((name,), 1.0),)) for name in names]
        widest = max(map(len, alternatives))
        flat = [symbols for options in alternatives for symbols, _ in options]
        thresholds = np.full((len(names), widest - 1), 2.0, dtype=np.float32)  # 2 > any uniform draw: never reached
        for i, options in enumerate(alternatives):
            thresholds[i, : len(options) - 1] = np.cumsum([p for _, p in options])[:-1]
        counts = [len(options) for options in alternatives]
        sizes = np.array([len(symbols) for symbols in flat], dtype=np.int32)
        return cls(
            start=index[grammar.start],
            first_terminal=np.int16(len(grammar.rules)),
            first_rule=np.cumsum([0, *counts[:-1]]).astype(np.int32),
            thresholds=thresholds,
            rule_size=sizes,
            rule_first=(np.cumsum(sizes) - sizes).astype(np.int32),
            rule_symbols=np.array([index[symbol] for symbols in flat for symbol in symbols], dtype=np.int16),
            grows=np.array([any(symbol in grammar.rules for symbol in symbols) for symbols in flat]),
        )


def _choose(t: _Tables, symbols: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rule: np.ndarray = t.first_rule[symbols]
    if t.thresholds.shape[1]:
        draw = rng.random(len(symbols), dtype=np.float32)
        for column in t.thresholds.T:
            rule += draw >= column[symbols]
    return rule


def windows(symbols: np.ndarray, lengths: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """Cut as many disjoint windows of `width` symbols as fit from each string, at a random offset (paper B.2: one of 250).

    Strings shorter than `width` give none. Returns [windows, width] in random order.
    """
    count = lengths // width
    slack = lengths - count * width
    offset = np.cumsum(lengths) - lengths + rng.integers(0, slack + 1)
    which = np.repeat(np.arange(len(lengths)), count)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    first = offset[which] + nth * width
    rng.shuffle(first)
    cut: np.ndarray = symbols[first[:, None] + np.arange(width)]
    return cut


def _halves(*alternatives: str) -> tuple[Rule, ...]:
    return tuple((tuple(a.split()), 0.5) for a in alternatives)


# Paper App. B.2: seven levels, both rules of a node with probability 1/2.
PAPER_GRAMMAR = Grammar(
    start="s",
    terminals=("a", "b", "c"),
    rules={
        "s": _halves("r q", "q p"),
        "p": _halves("m n o", "n o m"),
        "q": _halves("n m o", "m n"),
        "r": _halves("o m", "m o n"),
        "m": _halves("l j", "j l k"),
        "n": _halves("k j", "l j k"),
        "o": _halves("l k j", "k j"),
        "j": _halves("h i", "i h"),
        "k": _halves("h g i", "g h i"),
        "l": _halves("i h g", "h g i"),
        "g": _halves("d f e", "f e d"),
        "h": _halves("e d f", "d e f"),
        "i": _halves("e f d", "f d e"),
        "d": _halves("c a", "a b c"),
        "e": _halves("c b", "c a b"),
        "f": _halves("c b a", "b a"),
    },
)

# The paper's grammar but for its lowest level. There every nonterminal holds each letter about once, so that in a short text
# nearly all counts are the same (of the texts with count(b) = count(a) + 1 nine in ten have count(b) = 4). Here they spread.
WIDE_GRAMMAR = replace(
    PAPER_GRAMMAR,
    rules={
        **PAPER_GRAMMAR.rules,
        "d": _halves("a a a", "b c"),
        "e": _halves("b b b", "c a"),
        "f": _halves("c c c", "a b"),
    },
)
