"""Grammars: samples parse, rules and strings come with their probabilities, windows are cut fairly, bad rules are named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from capbench.errors import UsageError
from capbench.tasks.grammar import PAPER_GRAMMAR, Grammar, Rule, windows

Rules = Mapping[str, Sequence[Sequence[str]]]

# Paper App. B.2, typed anew; each alternative with probability 1/2.
PAPER = """s→r q | q p; p→m n o | n o m; q→n m o | m n; r→o m | m o n; m→l j | j l k; n→k j | l j k; o→l k j | k j;
j→h i | i h; k→h g i | g h i; l→i h g | h g i; g→d f e | f e d; h→e d f | d e f; i→e f d | f d e;
d→c a | a b c; e→c b | c a b; f→c b a | b a"""
PAPER_RULES: Rules = {
    parent.strip(): [a.split() for a in right.split("|")]
    for parent, right in (line.split("→") for line in PAPER.split(";"))
}
UNLIKELY = 1e-4  # seeds are fixed, so a test that passes once always does


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


def derivations(grammar: Grammar, symbol: str) -> dict[str, float]:
    """Every string of a symbol and its probability, by multiplying out all derivations."""
    if symbol not in grammar.rules:
        return {symbol: 1.0}
    found: dict[str, float] = defaultdict(float)
    for symbols, p in grammar.rules[symbol]:
        for parts in product(*(derivations(grammar, s).items() for s in symbols)):
            found["".join(text for text, _ in parts)] += p * float(np.prod([q for _, q in parts]))
    return found


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


BRACKETS: Rules = {"S": ["(S)", "SS", "()"]}  # a string is a sequence of its letters


@pytest.mark.parametrize(
    "text, right", [("()", True), ("(())()", True), ("", False), ("(", False), ("())(", False), ("(()", False)]
)
def test_the_recogniser_of_this_file_tells_brackets_that_close(text: str, right: bool) -> None:
    assert parses(BRACKETS, "S", text) == right


@pytest.mark.parametrize("parent", PAPER_RULES)
def test_the_rules_are_those_of_the_paper(parent: str) -> None:
    assert [list(symbols) for symbols, _ in PAPER_GRAMMAR.rules[parent]] == PAPER_RULES[parent]
    assert [p for _, p in PAPER_GRAMMAR.rules[parent]] == [0.5, 0.5]


@pytest.mark.parametrize("start, n", [("g", 50), ("h", 50), ("i", 50), ("j", 30), ("l", 20), ("m", 10), ("p", 4)])
def test_samples_of_a_lower_level_parse_under_the_papers_rules(start: str, n: int) -> None:
    for text in sampled(replace(PAPER_GRAMMAR, start=start), n):
        assert parses(PAPER_RULES, start, text), "".join(text)


def test_full_strings_parse_and_lose_that_with_one_symbol() -> None:
    for text in sampled(PAPER_GRAMMAR, 2):
        assert parses(PAPER_RULES, "s", text)
    assert not parses(PAPER_RULES, "s", text[1:])


@pytest.mark.parametrize("parent", PAPER_RULES)
def test_both_rules_of_a_node_are_equally_likely(parent: str) -> None:
    one_level = Grammar(start=parent, rules={parent: PAPER_GRAMMAR.rules[parent]})
    seen = [" ".join(text) for text in sampled(one_level, 2000)]
    assert_frequencies(seen, {" ".join(symbols): 0.5 for symbols, _ in PAPER_GRAMMAR.rules[parent]})


THREE: tuple[Rule, ...] = ((("x",), 0.7), (("x", "y"), 0.2), (("T", "z"), 0.1))
SKEWED = Grammar(start="S", rules={"S": ((("T",), 0.05), (("T", "T"), 0.95)), "T": ((("u",), 0.999), (("v",), 0.001))})


@pytest.mark.parametrize(
    "grammar",
    [
        replace(PAPER_GRAMMAR, start="d"),
        replace(PAPER_GRAMMAR, start="h"),
        replace(PAPER_GRAMMAR, start="j"),
        SKEWED,
        Grammar(start="S", rules={"S": THREE, "T": (*THREE[:2], (("w", "w"), 0.1))}),
    ],
    ids=["d", "h", "j", "skewed", "three alternatives"],
)
def test_strings_come_with_the_probability_of_their_derivations(grammar: Grammar) -> None:
    expected = {text: p for text, p in derivations(grammar, grammar.start).items() if p > 1e-4}
    seen = ["".join(text) for text in sampled(grammar, 20_000)]
    assert_frequencies([text for text in seen if text in expected], expected)
    assert set(seen) <= derivations(grammar, grammar.start).keys()


def test_a_recursive_grammar_nests_with_geometric_depth() -> None:
    nested = Grammar(start="S", rules={"S": ((("(", "S", ")"), 0.3), (("x",), 0.7))})
    depths = [(len(text) - 1) // 2 for text in sampled(nested, 5000)]
    for text, depth in zip(sampled(nested, 5000), depths, strict=True):
        assert "".join(text) == "(" * depth + "x" + ")" * depth
    assert_frequencies([min(d, 4) for d in depths], {d: 0.7 * 0.3**d if d < 4 else 0.3**4 for d in range(5)})


def test_string_lengths_are_those_that_the_papers_rules_imply() -> None:
    def lengths(symbol: str, of: Any) -> float:
        """of: min, max or mean over the alternatives."""
        rules = PAPER_RULES.get(symbol)
        return 1 if rules is None else of([sum(lengths(s, of) for s in right) for right in rules])

    found = PAPER_GRAMMAR.sample(4000, np.random.default_rng(0))[1]
    assert lengths("s", min) <= found.min() and found.max() <= lengths("s", max)
    assert found.mean() == pytest.approx(lengths("s", np.mean), abs=4 * found.std() / np.sqrt(len(found)))
    assert stats.scoreatpercentile(found, 1) >= 164 and stats.scoreatpercentile(found, 99) <= 372


def test_equal_generators_give_equal_strings_and_others_do_not() -> None:
    assert sampled(PAPER_GRAMMAR, 3, seed=1) == sampled(PAPER_GRAMMAR, 3, seed=1)
    assert sampled(PAPER_GRAMMAR, 3, seed=1) != sampled(PAPER_GRAMMAR, 3, seed=2)


GOOD: Mapping[str, tuple[Rule, ...]] = {"S": ((("x",), 1.0),)}


@pytest.mark.parametrize(
    "start, rules, quoted",
    [
        ("Z", GOOD, "'Z'"),
        ("S", {}, "'S'"),
        ("S", {"S": ((("x",), 0.5), (("y",), 0.4))}, "0.9"),
        ("S", {"S": ()}, "'S'"),
        ("S", {"S": (((), 1.0),)}, r"\(\)"),
        ("S", {"S": ((("x",), 1.5), (("y",), -0.5))}, "1.5"),
        ("S", {"S": ((("x",), 1.0), (("y",), 0.0))}, "0.0"),
        ("S", {"S": ((("x",), float("nan")),)}, "nan"),
    ],
)
def test_a_bad_grammar_is_refused_with_the_value(start: str, rules: Any, quoted: str) -> None:
    with pytest.raises(UsageError, match=quoted) as error:
        Grammar(start=start, rules=rules)
    assert "\n" not in str(error.value)


def test_rules_that_never_end_are_an_error_and_not_a_hang() -> None:
    endless = Grammar(start="S", rules={"S": ((("x", "S"), 1.0),)}, max_levels=10)
    with pytest.raises(UsageError, match="after 10 levels"):
        endless.sample(2, np.random.default_rng(0))


@st.composite
def grammars(draw: st.DrawFn) -> Grammar:
    """Productive by construction: a symbol uses later ones and terminals, and itself at the end of rare rules only."""
    names, rules = ["S", "T", "U"][: draw(st.integers(1, 3))], {}
    for i, name in enumerate(names):
        right = st.lists(st.sampled_from([*names[i + 1 :], "x", "y"]), min_size=1, max_size=3)
        alternatives = draw(st.lists(right, min_size=1, max_size=3))
        weights = [draw(st.integers(1, 9)) for _ in alternatives]
        if draw(st.booleans()):
            alternatives.append(["x", name])
            weights.append(max(1, sum(weights) // 5))
        rules[name] = tuple((tuple(a), w / sum(weights)) for a, w in zip(alternatives, weights, strict=True))
    return Grammar(start="S", rules=rules)


@given(grammars(), st.integers(0, 2**32))
@settings(max_examples=60)
def test_samples_of_any_productive_grammar_parse_under_it(grammar: Grammar, seed: int) -> None:
    rules = {parent: [symbols for symbols, _ in right] for parent, right in grammar.rules.items()}
    for text in sampled(grammar, 5, seed):
        assert parses(rules, grammar.start, text)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 2**32))
def test_windows_are_disjoint_pieces_of_one_string_each_and_as_many_as_fit(
    lengths: list[int], width: int, seed: int
) -> None:
    symbols = np.arange(sum(lengths))  # every symbol tells where it stood
    cut = windows(symbols, np.array(lengths), width, np.random.default_rng(seed))
    string = np.repeat(np.arange(len(lengths)), lengths)
    assert cut.shape == (sum(length // width for length in lengths), width)
    assert len(np.unique(cut)) == cut.size
    for window in cut:
        assert (np.diff(window) == 1).all() and len(set(string[window])) == 1
    assert Counter(string[window[0]] for window in cut) == Counter(
        {i: length // width for i, length in enumerate(lengths) if length >= width}
    )


def test_windows_start_anywhere_and_come_in_any_order() -> None:
    rng = np.random.default_rng(0)
    firsts = [windows(np.arange(10), np.array([10]), 4, rng)[0, 0] for _ in range(3000)]
    # Two windows of 4 in 10 symbols: the offset is 0, 1 or 2, and either window may come first.
    assert_frequencies(firsts, {0: 1, 1: 1, 2: 1, 4: 1, 5: 1, 6: 1})
