"""Probabilistic context-free grammars: the paper's, and a vectorised sampler for any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from capbench.errors import UsageError

Rule = tuple[tuple[str, ...], float]  # right-hand side and its probability
_MOST_SYMBOLS = 2**27  # of one draw: about 2 GB of working memory


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """A PCFG. A symbol with rules is a nonterminal, any other a terminal; every nonterminal's probabilities sum to 1.

    Raises UsageError for a rule without symbols, a probability outside (0, 1], or probabilities that do not sum to one.
    """

    start: str
    rules: Mapping[str, tuple[Rule, ...]]
    max_levels: int = 64  # derivation depth at which a string that still has nonterminals is an error

    def __post_init__(self) -> None:
        if self.start not in self.rules:
            raise UsageError(f"grammar: start symbol {self.start!r} has no rule")
        for parent, alternatives in self.rules.items():
            total = sum(p for _, p in alternatives)
            if abs(total - 1.0) > 1e-9:
                raise UsageError(f"grammar: the probabilities of {parent!r} sum to {total:g}, not 1")
            for symbols, p in alternatives:
                if not symbols or not 0 < p <= 1:
                    raise UsageError(f"grammar: rule {parent!r} -> {symbols!r} with probability {p!r} is not usable")

    @cached_property
    def terminals(self) -> tuple[str, ...]:
        """Symbols without rules, sorted."""
        used = {s for alternatives in self.rules.values() for symbols, _ in alternatives for s in symbols}
        return tuple(sorted(used - set(self.rules)))

    @cached_property
    def tables(self) -> _Tables:
        return _Tables.build(self)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw n strings.

        Returns (symbols, lengths): all strings one after another as indices into `terminals` (int16, shape [sum]),
        and the length of each (int64, shape [n]).
        """
        t = self.tables
        symbols = np.full(n, t.start, dtype=np.int16)
        lengths = np.ones(n, dtype=np.int64)
        for _ in range(self.max_levels):
            rule = _choose(t, symbols, rng)
            sizes = t.rule_size[rule]
            ends = np.cumsum(sizes)
            if ends[-1] > _MOST_SYMBOLS:
                raise UsageError(
                    f"grammar: {n} strings grew beyond {_MOST_SYMBOLS} symbols (rules that recurse too often?)"
                )
            # Every symbol is replaced by the right-hand side of its rule; a terminal's only "rule" is itself.
            within = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
            string_ends = ends[np.cumsum(lengths) - 1]
            lengths = np.diff(string_ends, prepend=0)
            symbols = t.rule_symbols[np.repeat(rule, sizes), within]
            if not t.nonterminal[symbols].any():
                return t.terminal_index[symbols], lengths
        raise UsageError(f"grammar: strings still hold nonterminals after {self.max_levels} levels (recursive rules?)")


@dataclass(frozen=True)
class _Tables:
    """The rules as arrays, so that one level of all strings is expanded by a few numpy calls."""

    start: int
    nonterminal: np.ndarray  # [symbols] bool
    terminal_index: np.ndarray  # [symbols] int16: index into Grammar.terminals
    first_rule: np.ndarray  # [symbols] int32
    thresholds: np.ndarray  # [symbols, alternatives - 1] float32: cumulative probabilities
    rule_size: np.ndarray  # [rules] int64
    rule_symbols: np.ndarray  # [rules, longest] int16

    @classmethod
    def build(cls, grammar: Grammar) -> _Tables:
        names = [*grammar.rules, *grammar.terminals]
        index = {name: i for i, name in enumerate(names)}
        alternatives = [grammar.rules.get(name, (((name,), 1.0),)) for name in names]
        widest = max(map(len, alternatives))
        flat = [symbols for options in alternatives for symbols, _ in options]
        longest = max(map(len, flat))
        thresholds = np.full((len(names), widest - 1), 2.0, dtype=np.float32)  # 2 > any uniform draw: never reached
        for i, options in enumerate(alternatives):
            thresholds[i, : len(options) - 1] = np.cumsum([p for _, p in options])[:-1]
        rule_symbols = np.zeros((len(flat), longest), dtype=np.int16)
        for i, symbols in enumerate(flat):
            rule_symbols[i, : len(symbols)] = [index[s] for s in symbols]
        counts = [len(options) for options in alternatives]
        terminal_index = np.full(len(names), -1, dtype=np.int16)
        terminal_index[len(grammar.rules) :] = np.arange(len(grammar.terminals))
        return cls(
            start=index[grammar.start],
            nonterminal=np.array([name in grammar.rules for name in names]),
            terminal_index=terminal_index,
            first_rule=np.cumsum([0, *counts[:-1]]).astype(np.int32),
            thresholds=thresholds,
            rule_size=np.array([len(s) for s in flat], dtype=np.int64),
            rule_symbols=rule_symbols,
        )


def _choose(t: _Tables, symbols: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rule: np.ndarray = t.first_rule[symbols]
    if t.thresholds.shape[1]:
        draw = rng.random(len(symbols), dtype=np.float32)
        for column in t.thresholds.T:
            rule += draw >= column[symbols]
    return rule


def windows(symbols: np.ndarray, lengths: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """Cut windows of `width` symbols from strings, at a random offset, as many disjoint ones as fit (paper B.2: one of 250).

    Strings shorter than `width` give none. Returns shape [windows, width], in random order.
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
