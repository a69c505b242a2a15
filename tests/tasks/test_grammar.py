"""Grammars: samples parse, strings come with their probabilities, also below a longest length, and bad rules are named."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from grammar_words import Rules, assert_frequencies, derivations, parses, sampled
from hypothesis import given, settings
from hypothesis import strategies as st
from pcfg_prompts import seconds
from scipy import stats

from capbench.errors import UsageError
from capbench.tasks.pcfg import grammar as module
from capbench.tasks.pcfg.grammar import PAPER_GRAMMAR, Grammar, Rule, windows

# Paper App. B.2, typed anew; each alternative with probability 1/2.
PAPER = """s→r q | q p; p→m n o | n o m; q→n m o | m n; r→o m | m o n; m→l j | j l k; n→k j | l j k; o→l k j | k j;
j→h i | i h; k→h g i | g h i; l→i h g | h g i; g→d f e | f e d; h→e d f | d e f; i→e f d | f d e;
d→c a | a b c; e→c b | c a b; f→c b a | b a"""
PAPER_RULES: Rules = {
    parent.strip(): [a.split() for a in right.split("|")]
    for parent, right in (line.split("→") for line in PAPER.split(";"))
}


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
    rules = PAPER_GRAMMAR.rules[parent]
    used = {symbol for symbols, _ in rules for symbol in symbols}
    one_level = Grammar(start=parent, terminals=tuple(used), rules={parent: rules})
    seen = [" ".join(text) for text in sampled(one_level, 2000)]
    assert_frequencies(seen, {" ".join(symbols): 0.5 for symbols, _ in rules})


def grammar(rules: str, /, **changes: Any) -> Grammar:
    """A grammar written as "S: x S .5 | x .5; T: …"; its terminals are the small letters and signs that occur."""
    read = {
        parent.strip(): tuple((tuple(r.split()[:-1]), float(r.split()[-1])) for r in right.split("|"))
        for parent, right in (line.split(":") for line in rules.split(";"))
    }
    used = sorted({s for right in read.values() for symbols, _ in right for s in symbols if not s.isupper()})
    return Grammar(**{"start": "S", "rules": read, "terminals": tuple(used), **changes})


SKEWED = grammar("S: T .05 | T T .95; T: u .999 | v .001")
THREE = grammar("S: x .7 | x y .2 | T z .1; T: x .7 | x y .2 | w w .1")


@pytest.mark.parametrize(
    "drawn",
    [*(replace(PAPER_GRAMMAR, start=start) for start in "dhj"), SKEWED, THREE],
    ids=["d", "h", "j", "skewed", "three alternatives"],
)
def test_strings_come_with_the_probability_of_their_derivations(drawn: Grammar) -> None:
    every = derivations(drawn)
    expected = {text: p for text, p in every.items() if p > 1e-4}
    seen = ["".join(text) for text in sampled(drawn, 20_000)]
    assert_frequencies([text for text in seen if text in expected], expected)
    assert set(seen) <= every.keys()
    assert drawn.longest == max(map(len, every))


# Grammars whose strings have no limit, or may be longer than they shall be. Unit rules, such as S -> S, change no string.
LIMITED = {
    "right recursion": grammar("S: a S .5 | a .5", max_length=5),
    "left recursion": grammar("S: S a .7 | b .3", max_length=6),
    "nested": grammar("S: a S b .6 | a b .4", max_length=7),
    "nested, the middle marked": grammar("S: ( S ) .3 | x .7", max_length=9),
    "brackets": grammar("S: S S .3 | ( S ) .2 | ( ) .5", max_length=6),
    "through others": grammar("S: T b .5 | b .5; T: a S .5 | S .5", max_length=4),
    "unit rule": grammar("S: S .5 | a .2 | a b .2 | b b b .1", max_length=2),
    "finite": replace(SKEWED, max_length=1),
    "finite and short enough": replace(THREE, max_length=3),
}


@pytest.mark.parametrize("drawn", LIMITED.values(), ids=LIMITED)
def test_below_a_longest_length_strings_come_with_their_conditional_probability(drawn: Grammar) -> None:
    assert drawn.longest == drawn.max_length and drawn.max_length is not None
    expected = derivations(drawn, most=drawn.max_length)
    seen = ["".join(text) for text in sampled(drawn, 4000)]
    assert max(map(len, seen)) == max(map(len, expected)) <= drawn.max_length
    assert_frequencies(seen, expected)


def test_truncated_recursion_is_the_truncated_geometric_distribution() -> None:
    lengths = LIMITED["right recursion"].sample(4000, np.random.default_rng(1))[1].tolist()
    assert_frequencies(lengths, {length: 16 / 31 / 2 ** (length - 1) for length in range(1, 6)})


def test_a_nested_grammar_gives_as_many_of_either_symbol() -> None:
    for text in sampled(grammar("S: a S b .9 | a b .1", max_length=60), 200):
        half = len(text) // 2
        assert "".join(text) == "a" * half + "b" * half


def test_a_longest_length_that_no_string_exceeds_changes_nothing() -> None:
    assert sampled(replace(PAPER_GRAMMAR, max_length=PAPER_GRAMMAR.longest), 5) == sampled(PAPER_GRAMMAR, 5)


@pytest.mark.parametrize(
    "drawn, longest",
    [
        (SKEWED, 2),
        (THREE, 3),
        (replace(SKEWED, max_length=1), 1),
        (replace(SKEWED, max_length=9), 2),
        (LIMITED["nested"], 7),
        (grammar("S: a T .5 | b .5; T: a b .5 | a .5; U: U a .5 | a .5"), 3),  # U is never used
    ],
)
def test_the_longest_string_is_known(drawn: Grammar, longest: int) -> None:
    assert drawn.longest == longest


def test_symbols_are_numbered_in_the_order_in_which_terminals_are_declared() -> None:
    declared = [grammar("S: x .5 | y .3 | x y .2", terminals=order) for order in (("x", "y"), ("z", "y", "x"))]
    (one, _), (other, _) = (g.sample(50, np.random.default_rng(0)) for g in declared)
    assert set(one.tolist()) == {0, 1} and other.tolist() == [2 - symbol for symbol in one.tolist()]
    assert sampled(declared[0], 50) == sampled(declared[1], 50)


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


NAN = float("nan")
MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "start without rules": ("S: x 1", {"start": "Z"}, "'Z'"),
    "no rules": ("S: x 1", {"rules": {}}, "'S'"),
    "no alternatives": ("S: x 1", {"rules": {"S": ()}}, "'S'"),
    "left-over probability": ("S: x .5 | y .4", {}, "'S' sum to 0.9, not 1: 0.1 is missing"),
    "too much probability": ("S: x .5 | y .75", {}, "'S' sum to 1.25, not 1: 0.25 too much"),
    "empty right-hand side": ("S: x 1", {"rules": {"S": (((), 1.0),)}}, "'S' -> ()"),
    "negative probability": ("S: y -.5 | x 1.5", {}, "-0.5"),
    "probability above 1": ("S: x 1.5", {}, "1.5"),
    "probability of 0": ("S: x 1 | y 0", {}, "0.0"),
    "probability that is no number": ("S: x nan", {}, "nan"),
    "unknown symbol": ("S: x Y z 1", {}, "unknown symbol 'Y' in rule 'S' -> x Y z"),
    "undeclared terminal": ("S: x y 1", {"terminals": ("x",)}, "unknown symbol 'y'"),
    "terminal with rules": ("S: x 1; T: y 1", {"terminals": ("x", "y", "T")}, "'T' is a terminal"),
    "no terminals": ("S: S 1", {}, "terminals ()"),
    "terminal twice": ("S: x 1", {"terminals": ("x", "y", "x")}, "('x', 'y', 'x')"),
    "no rule that ends": ("S: x S 1", {"max_length": 5}, "'S' has no rule that terminates"),
    "symbols that need each other": ("S: x 1; T: x U .5 | U .5; U: T x 1", {"max_length": 5}, "'T'"),
    "recursion without limit": ("S: a S .5 | a .5", {}, "set max_length"),
    "recursion through others": ("S: T b .5 | b .5; T: a S .5 | a .5", {}, "set max_length"),
    "unit rule without limit": ("S: S .5 | a .5", {}, "set max_length"),
    "limit below the shortest": (
        "S: T T a .5 | a S .5; T: a a 1",
        {"max_length": 4},
        "max_length 4 must be at least 5",
    ),
    "limit of 0": ("S: a 1", {"max_length": 0}, "max_length 0"),
}


@pytest.mark.parametrize("rules, changes, quoted", MISTAKES.values(), ids=MISTAKES)
def test_a_bad_grammar_is_refused_with_the_value(rules: str, changes: dict[str, Any], quoted: str) -> None:
    with pytest.raises(UsageError) as error:
        grammar(rules, **changes)
    assert quoted in str(error.value) and "\n" not in str(error.value)


def test_the_shortest_string_is_within_a_limit_of_its_length() -> None:
    assert sampled(grammar("S: T T a .5 | a S .5; T: a a 1", max_length=5), 3) == [list("aaaaa")] * 3


@pytest.mark.parametrize(
    "rules, most, quoted",
    [
        ("S: a a a S .999999999 | a .000000001", 2, "at most max_length 2"),
        ("S: a S S S .999999999 | a .000000001", 12, "at most max_length 12"),
        ("S: S .999999999 | a .000000001", 2, "after 10000 levels"),
    ],
)
@pytest.mark.parametrize("n", [1, 100])
def test_a_limit_that_hardly_any_string_keeps_is_an_error_and_not_a_hang(
    rules: str, most: int, quoted: str, n: int
) -> None:
    with seconds(20), pytest.raises(UsageError, match=quoted):
        grammar(rules, max_length=most).sample(n, np.random.default_rng(0))


def test_strings_that_outgrow_the_memory_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SYMBOLS", 5000)
    growing = grammar("S: S S .9 | a .1", max_length=100_000)
    with seconds(20), pytest.raises(UsageError, match="grew beyond 5000 symbols"):
        growing.sample(50, np.random.default_rng(0))


@st.composite
def grammars(draw: st.DrawFn) -> Grammar:
    """Any three symbols that use each other, each of which may end at once; strings of at most 3 to 12 symbols."""
    names = ["S", "T", "U"][: draw(st.integers(1, 3))]
    rules: dict[str, tuple[Rule, ...]] = {}
    for name in names:
        alternatives = [draw(st.lists(st.sampled_from("xy"), min_size=1, max_size=3))]
        alternatives += draw(
            st.lists(st.lists(st.sampled_from([*names, "x", "y"]), min_size=1, max_size=3), max_size=3)
        )
        weights = [draw(st.integers(1, 9)) for _ in alternatives]
        rules[name] = tuple((tuple(a), w / sum(weights)) for a, w in zip(alternatives, weights, strict=True))
    return Grammar(
        start="S", rules=rules, terminals=draw(st.permutations("xyz").map(tuple)), max_length=draw(st.integers(3, 12))
    )


@given(grammars(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_samples_of_any_grammar_parse_under_it_and_are_short_enough(drawn: Grammar, seed: int) -> None:
    rules = {parent: [symbols for symbols, _ in right] for parent, right in drawn.rules.items()}
    for text in sampled(drawn, 5, seed):
        assert parses(rules, drawn.start, text) and len(text) <= (drawn.longest or 0) <= (drawn.max_length or 0)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 2**32))
@settings(deadline=None)
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
