"""Drawn grammars: strings derive from them, with their probabilities; they vary, and shrink to three equally likely letters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest
from grammar_words import derivations, parses, sampled
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from scipy import stats

from capbench.errors import UsageError
from capbench.tasks.pcfg.grammar import Grammar
from capbench.tasks.pcfg.setting import PcfgSetting
from capbench.variants.strategies import grammars

SEEDS = st.integers(0, 2**32)
QUICK = settings(database=None, derandomize=True, phases=[Phase.generate, Phase.shrink])  # no explanations
# Examples and seeds are fixed where this is used, and Hypothesis may change them: so rare, it will not be met.
FLUKE = 1e-9


def chi_square(counts: Mapping[object, int], expected: Mapping[object, float], n: int) -> float:
    """p of n draws; what is expected fewer than five times is taken as one."""
    assert set(counts) <= set(expected), set(counts) - set(expected)
    common = [value for value, p in expected.items() if p * n >= 5]
    seen, shares = [counts[value] for value in common], [expected[value] for value in common]
    if (rest := 1 - sum(shares)) * n >= 5:
        seen, shares = [*seen, n - sum(seen)], [*shares, rest]
    else:  # hardly anything else: its few draws are left out
        assert n - sum(seen) <= 40
    if len(seen) < 2:
        return 1.0
    return float(stats.chisquare(seen, np.array(shares) / sum(shares) * sum(seen)).pvalue)


def length_shares(grammar: Grammar) -> dict[int, float]:
    """The exact distribution of the length of strings, without those longer than max_length."""
    most = grammar.longest or 0
    of = {name: np.zeros(most + 1) for name in grammar.rules}
    of |= {name: np.eye(1, most + 1, 1)[0] for name in grammar.terminals}
    while True:  # each round adds the derivations that are one level deeper
        before = {name: of[name].copy() for name in grammar.rules}
        for parent in reversed(list(grammar.rules)):
            of[parent] = np.zeros(most + 1)
            for symbols, p in grammar.rules[parent]:
                found = np.eye(1, most + 1, 0)[0]
                for symbol in symbols:
                    found = np.convolve(found, before[parent] if symbol == parent else of[symbol])[: most + 1]
                of[parent] += p * found
        if all(np.abs(of[name] - before[name]).max() < 1e-12 for name in before):
            shares = of[grammar.start]
            return {length: p for length, p in enumerate(shares / shares.sum()) if p > 0}


def test_the_exact_lengths_of_this_file_are_those_worked_out_by_hand() -> None:
    half = Grammar(start="S", terminals=("a",), rules={"S": ((("a", "S"), 0.5), (("a",), 0.5))}, max_length=3)
    assert length_shares(half) == pytest.approx({1: 4 / 7, 2: 2 / 7, 3: 1 / 7})


@given(grammars(min_length=8), SEEDS)
@settings(deadline=None, max_examples=60)
def test_strings_derive_from_their_grammar_and_are_long_enough(grammar: Grammar, seed: int) -> None:
    rules = {parent: [symbols for symbols, _ in right] for parent, right in grammar.rules.items()}
    for text in sampled(grammar, 8, seed):
        assert 8 <= len(text) <= (grammar.longest or 0)
        if len(text) <= 40:  # the recogniser is slow
            assert parses(rules, grammar.start, text), "".join(text)


@given(grammars(min_length=8), st.integers(4, 8), SEEDS)
@settings(deadline=None, max_examples=60)
def test_texts_are_windows_of_strings(grammar: Grammar, text_len: int, seed: int) -> None:
    strings: list[str] = []
    original = Grammar.sample

    def recorded(self: Grammar, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        symbols, lengths = original(self, n, rng)
        ends = np.cumsum(lengths)
        strings.extend("".join(map(str, symbols[e - n : e].tolist())) for n, e in zip(lengths, ends, strict=True))
        return symbols, lengths

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Grammar, "sample", recorded)
        texts = PcfgSetting(text_len=text_len, numbers={"C": 2}, grammar=grammar).texts(
            16, "select", np.random.default_rng(seed)
        )
    joined = "|".join(strings)
    assert len(texts) >= 16
    for text in texts.tolist():
        assert "".join(map(str, text)) in joined


@given(grammars(max_letters=4, max_depth=1, recursive=False, min_length=2), SEEDS)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_strings_come_with_the_probability_of_their_derivations(grammar: Grammar, seed: int) -> None:
    counts = Counter("".join(text) for text in sampled(grammar, 4000, seed))
    assert chi_square(counts, derivations(grammar), 4000) > FLUKE


@given(grammars(min_length=6, max_depth=3), SEEDS)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_lengths_come_with_their_probability_also_below_a_longest_length(grammar: Grammar, seed: int) -> None:
    lengths = grammar.sample(2000, np.random.default_rng(seed))[1]
    assert chi_square(Counter(lengths.tolist()), length_shares(grammar), 2000) > FLUKE


@given(grammars(min_length=8, recursive=False), SEEDS)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_letters_come_as_often_as_the_rules_imply(grammar: Grammar, seed: int) -> None:
    expected = {name: np.eye(len(grammar.terminals))[i] for i, name in enumerate(grammar.terminals)}
    for parent in reversed(list(grammar.rules)):  # a symbol stands before those that it contains
        expected[parent] = sum(
            (p * expected[s] for symbols, p in grammar.rules[parent] for s in symbols), np.zeros(len(grammar.terminals))
        )
    symbols, lengths = grammar.sample(1000, np.random.default_rng(seed))
    string = np.repeat(np.arange(1000), lengths)
    for letter, mean in enumerate(expected[grammar.start]):
        counts = np.bincount(string[symbols == letter], minlength=1000)
        assert abs(counts.mean() - mean) < 6 * counts.std() / np.sqrt(1000) + 1e-9, grammar.terminals[letter]


@given(grammars(), SEEDS)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_counts_spread_and_any_two_differ_by_up_to_three_either_way(grammar: Grammar, seed: int) -> None:
    """So that a model has something to learn, and texts with and without a correlation are found."""
    setting = PcfgSetting(text_len=16, numbers={"C": 12}, grammar=grammar)
    window = setting.texts(2000, "train", np.random.default_rng(seed))[:, -12:]
    counts = [(window == letter).sum(axis=1) for letter in range(len(grammar.terminals))]
    for i, one in enumerate(counts):
        assert np.bincount(one).max() < 0.5 * len(window), "hardly more than one answer"
        for other in counts[:i]:
            differences = Counter((one - other).tolist())
            for q in range(-3, 4):
                assert 2 <= differences[q] < 0.4 * len(window), (q, differences)


@given(grammars(), SEEDS)
@settings(deadline=None, max_examples=60)
def test_a_grammar_whose_rules_are_in_another_order_gives_the_same_strings(grammar: Grammar, seed: int) -> None:
    turned = Grammar(
        start=grammar.start,
        terminals=grammar.terminals,
        rules=dict(reversed(grammar.rules.items())),
        max_length=grammar.max_length,
    )
    assert turned == grammar and sampled(turned, 8, seed) == sampled(grammar, 8, seed)


@given(st.data(), st.integers(1, 4), st.integers(0, 3), st.integers(1, 4), st.none() | st.booleans())
@settings(deadline=None, max_examples=100)
def test_a_grammar_keeps_to_what_was_asked_for(
    data: st.DataObject, least: int, more: int, max_depth: int, recursive: bool | None
) -> None:
    grammar = data.draw(
        grammars(min_letters=least, max_letters=least + more, max_depth=max_depth, recursive=recursive, min_length=5)
    )
    assert least <= len(grammar.terminals) <= least + more and grammar.shortest >= 5
    assert {symbol for right in grammar.rules.values() for symbols, _ in right for symbol in symbols} >= set(
        grammar.terminals
    )
    assert len({name[0] for name in grammar.rules}) <= 1 + max_depth
    itself = any(parent in symbols for parent, right in grammar.rules.items() for symbols, _ in right)
    assert itself == (grammar.max_length is not None) and recursive in (None, itself)


FOUND = {
    "deep": lambda g: len({name[0] for name in g.rules}) == 5,
    "branching": lambda g: any(len(right) == 3 for name, right in g.rules.items() if name[0] in "YZN"),
    "five letters": lambda g: g.terminals == tuple("abcde"),
    "recursive start": lambda g: any("S" in symbols for symbols, _ in g.rules["S"]),
    "recursive within": lambda g: any(n in symbols for n, r in g.rules.items() if n != "S" for symbols, _ in r),
    "unequal probabilities": lambda g: any(len({p for _, p in right}) > 1 for right in g.rules.values()),
    "words": lambda g: any(len(s) > 1 and set(s) <= set(g.terminals) for right in g.rules.values() for s, _ in right),
}  # fmt: skip


def test_grammars_of_every_kind_are_drawn() -> None:
    kinds: Counter[str] = Counter()

    @given(grammars())
    @settings(deadline=None, max_examples=300, derandomize=True, database=None, phases=[Phase.generate])
    def drawn(grammar: Grammar) -> None:
        kinds.update(what for what, is_so in FOUND.items() if is_so(grammar))

    drawn()
    assert all(kinds[what] >= 3 for what in FOUND), kinds


def test_the_simplest_grammar_draws_three_letters_with_equal_probability() -> None:
    simplest = find(grammars(min_length=4), lambda _: True, settings=QUICK)
    rules = {"S": ((("X1",) * 4, 1.0),), "X1": tuple(((letter,), 1 / 3) for letter in "abc")}
    assert simplest == Grammar(start="S", terminals=("a", "b", "c"), rules=rules)


def test_a_grammar_that_recurs_shrinks_to_one_whose_strings_go_on() -> None:
    simplest = find(grammars(min_length=2, recursive=True), lambda _: True, settings=QUICK)
    assert simplest.rules["S"] == ((("X1", "X1"), 0.75), (("X1", "S"), 0.25)) and simplest.max_length == 6


@pytest.mark.parametrize(
    "limits, quoted",
    [
        ({"min_letters": 4, "max_letters": 3}, "min_letters 4 and max_letters 3"),
        ({"max_letters": 27}, "27"),
        ({"min_letters": 0}, "0"),
        ({"max_depth": 0}, "max_depth 0"),
        ({"min_length": 0}, "min_length 0"),
    ],
)
def test_impossible_limits_are_refused(limits: dict[str, int], quoted: str) -> None:
    with pytest.raises(UsageError, match=quoted):
        grammars(**limits)
