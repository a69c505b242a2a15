"""What the tests of grammars share: a recogniser and exact probabilities, which share no code with the sampler, and samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from pcfg_prompts import UNLIKELY
from scipy import stats

from capbench.tasks.pcfg.grammar import Grammar

Rules = Mapping[str, Sequence[Sequence[str]]]


def parses(rules: Rules, start: str, text: Sequence[str]) -> bool:
    """Whether start derives text: for each nonterminal and position, where it may end, until nothing is added."""
    ends: dict[tuple[str, int], set[int]] = defaultdict(set)
    grown = True
    while grown:
        grown = False
        for parent in reversed(list(rules)):
            for i in range(len(text)):
                reached = set()
                for symbols in rules[parent]:
                    here = {i}
                    for s in symbols:
                        if s in rules:
                            here = set().union(*(ends[s, j] for j in here))
                        else:
                            here = {j + 1 for j in here if j < len(text) and text[j] == s}
                    reached |= here
                if not reached <= ends[parent, i]:
                    ends[parent, i] |= reached
                    grown = True
    return len(text) in ends[start, 0]


def derivations(grammar: Grammar, *, most: int = 1000, levels: int = 80) -> dict[str, float]:
    """Every string of at most so many symbols and its probability, by multiplying out all derivations of so many levels."""

    @cache
    def of(symbol: str, levels: int) -> dict[tuple[str, ...], float]:
        if symbol not in grammar.rules:
            return {(symbol,): 1.0}
        found: dict[tuple[str, ...], float] = defaultdict(float)
        if levels:
            for symbols, p in grammar.rules[symbol]:
                for parts in product(*(of(s, levels - 1).items() for s in symbols)):
                    if sum(len(text) for text, _ in parts) <= most:
                        found[sum((text for text, _ in parts), ())] += p * float(np.prod([q for _, q in parts]))
        return found

    return {"".join(text): p for text, p in of(grammar.start, levels).items()}


def sampled(grammar: Grammar, n: int, seed: int = 0) -> list[list[str]]:
    symbols, lengths = grammar.sample(n, np.random.default_rng(seed))
    names = [grammar.terminals[i] for i in symbols]
    assert len(lengths) == n and len(names) == sum(lengths)
    return [names[end - length : end] for end, length in zip(np.cumsum(lengths), lengths, strict=True)]


def assert_frequencies(seen: Sequence[Any], expected: Mapping[Any, float]) -> None:
    """By chi-square; what is not expected at all must not be seen."""
    counts = Counter(seen)
    assert counts.keys() <= expected.keys(), counts.keys() - expected.keys()
    shares = np.array(list(expected.values())) / sum(expected.values())
    p = stats.chisquare([counts[e] for e in expected], shares * len(seen)).pvalue
    assert p > UNLIKELY, f"p = {p:.2g}: {counts.most_common(8)}"
