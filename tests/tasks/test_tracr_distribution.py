"""Strings of the Tracr tasks: rates of the correlation, lengths, counts, places and letters are spread as was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from scipy import stats
from tracr_strings import COUNTER, MAX, SPLITS, answers, contents, counter, difference, largest, rng

from capbench.tasks.correlation import Correlation
from capbench.tasks.tracr.tasks import MaxTask

UNLIKELY = 1e-4  # seeds are fixed, so a test that passes once always does


@pytest.mark.parametrize("make", [counter, largest])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("rate", [0, 0.2, 0.5, 1])
def test_the_correlation_is_carried_at_its_rate(make: Callable[..., Any], split: str, rate: float) -> None:
    task = make(rate, split=split)
    carrying = sum(difference(task, letters) == task.correlation.q for letters in contents(task, 600))
    if rate in (0, 1):
        assert carrying == 600 * rate
    assert stats.binomtest(carrying, 600, rate).pvalue > UNLIKELY, carrying


@pytest.mark.parametrize("make", [counter, largest])
def test_the_correlation_is_independent_of_the_place_in_the_batch_and_of_length(make: Callable[..., Any]) -> None:
    task = make(0.5)
    carries = [(difference(task, s) == task.correlation.q, len(s)) for s in contents(task, 4000)]
    for part in (carries[:1000], carries[-1000:], *([c for c in carries if c[1] == n] for n in (10, 14))):
        assert stats.binomtest(sum(c for c, _ in part), len(part), 0.5).pvalue > UNLIKELY


@pytest.mark.parametrize("task", [COUNTER, counter(0.5), MAX, largest(0.5)], ids=lambda t: t.name)
def test_every_length_is_equally_likely(task: Any) -> None:
    lengths = Counter(len(letters) for letters in contents(task, 4000))
    assert sorted(lengths) == list(range(task.min_content, task.max_content + 1))
    assert stats.chisquare(list(lengths.values())).pvalue > UNLIKELY


@pytest.mark.parametrize("rate", [None, 0, 1])
@pytest.mark.parametrize("operand", ["a", "b"])
def test_counts_are_spread_over_half_of_the_length(operand: str, rate: float | None) -> None:
    # At length 16 m is 8; of 9 counts each has 1/9 = .11, of those with q = 1 8 remain, .125 each.
    task = counter(rate, operand=operand, min_content=16)
    seen = Counter(answers(task, task.sample(4000, rng())))
    expected = {None: range(9), 0: range(9), 1: range(9 - 1) if operand == "a" else range(1, 9)}[rate]
    assert sorted(seen) == list(expected) and max(seen.values()) < 0.15 * 4000
    if rate != 0:  # there, of the 64 pairs that neither carry nor are equal, one end has one more than the other counts
        assert stats.chisquare(list(seen.values())).pvalue > UNLIKELY


def test_without_a_correlation_the_two_counts_are_independent() -> None:
    pairs = [(s.count("a"), s.count("b")) for s in contents(replace(COUNTER, min_content=16), 8100)]
    table = Counter(pairs)
    assert stats.chisquare([table[i, j] for i in range(9) for j in range(9)]).pvalue > UNLIKELY


@pytest.mark.parametrize("rate", [0, 0.5])
def test_with_a_correlation_the_counts_are_never_equal_but_all_other_pairs_are_there(rate: float) -> None:
    pairs = Counter((s.count("a"), s.count("b")) for s in contents(counter(rate, min_content=16), 6000))
    others = [pairs.pop((i, j)) for i in range(9) for j in range(9) if j - i not in (0, 1)]
    assert stats.chisquare(others).pvalue > UNLIKELY
    assert set(pairs) == (set() if rate == 0 else {(i, i + 1) for i in range(8)})
    assert (0, 0) in {(s.count("a"), s.count("b")) for s in contents(counter(1, q=0), 600)}


def test_counts_stop_where_they_are_told_to() -> None:
    for rate in (None, 0, 1):
        assert {max(s.count("a"), s.count("b")) for s in contents(counter(rate, largest_count=3), 600)} >= {1, 2, 3}
        assert max(max(s.count("a"), s.count("b")) for s in contents(counter(rate, largest_count=3), 600)) == 3


def test_all_places_and_all_other_letters_are_alike() -> None:
    found = contents(replace(COUNTER, min_content=16), 4000)
    for letter in "ab":
        places = [sum(s[i] == letter for s in found) for i in range(16)]
        assert stats.chisquare(places).pvalue > UNLIKELY, places
    others = Counter(letter for s in found for letter in s)
    assert stats.chisquare([others[letter] for letter in "cdefghi"]).pvalue > UNLIKELY
    found = contents(replace(MAX, min_content=14), 4000)
    smallest = Counter(s.index(min(s)) for s in found)
    assert stats.chisquare([smallest[i] for i in range(14)]).pvalue > UNLIKELY


@pytest.mark.parametrize("rate", [None, 0, 1])
def test_kth_letters_are_spread_evenly(rate: float | None) -> None:
    # Of 14 different letters the 7th has 6 before and 7 after it: g to s, 13 letters, .08 each. If it is to be 3 after
    # the 5th, h to s remain; if not, g to s, as before.
    task = largest(rate, min_content=14)
    seen = Counter(answers(task, task.sample(4000, rng())))
    assert "".join(sorted(seen)) == ("hijklmnopqrs" if rate == 1 else "ghijklmnopqrs")
    assert stats.chisquare(list(seen.values())).pvalue > UNLIKELY
    task = replace(task, rank=5) if rate is not None else largest(None, rank=5, min_content=14)
    seen = Counter(answers(task, task.sample(4000, rng())))
    assert len(seen) >= 12 and max(seen.values()) < 0.16 * 4000


def test_sets_of_letters_with_one_answer_are_equally_likely() -> None:
    # 4 of the 6 letters a to f, the second being c: one of a, b and two of d, e, f: 2 * 3 sets. In the whole the second can
    # be b, c or d, by thirds; b has 1 * 6 sets, c 6, d 3 * 1.
    task = MaxTask(rank=2, alphabet="abcdef", min_content=4, max_content=4)
    for correlation in (None, Correlation(o_pt=1, o_ft=2, rate=0, q=3)):
        found = ["".join(sorted(s)) for s in contents(replace(task, correlation=correlation), 3000)]
        if correlation is not None:  # a to d at a distance of 3 is left out: 2 sets remain for d
            assert {s for s in found if s[1] == "d"} == {"bdef", "cdef"}
        of_c = Counter(s for s in found if s[1] == "c")
        assert len(of_c) == 6 and stats.chisquare(list(of_c.values())).pvalue > UNLIKELY
