"""The error rate that looks at more and more seeds may spend: by hand, and never more than one look at all of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from capbench.verdicts import looks


def test_the_looks_spend_pocock_like_shares_of_alpha() -> None:
    """By hand: .025 ln(1 + 1.71828 t) at t = 1/4, 5/12, 2/3, 1, and the differences."""
    spent = [looks.spent(seeds) for seeds in looks.SEEDS]
    assert spent == pytest.approx([0.008934, 0.013499, 0.019085, 0.025], abs=1e-6)
    alphas = [looks.look(number).alpha for number in range(4)]
    assert alphas == pytest.approx([0.008934, 0.004565, 0.005585, 0.005915], abs=1e-6)
    assert [looks.look(number).last for number in range(4)] == [False, False, False, True]
    assert looks.look(1).words == "look 2 of 4, at 5 seeds: one-sided alpha 0.0046 of 0.025"


def test_one_look_alone_spends_all() -> None:
    assert (looks.ONLY.alpha, looks.ONLY.last, looks.ONLY.words) == (looks.ALPHA, True, "")


def share_ever_decided(draws: np.ndarray, alphas: Sequence[float]) -> float:
    """Of runs whose effect lies at the threshold, 0: how many a t-test calls above it at one of the looks."""
    found = np.zeros(len(draws), dtype=bool)
    for seeds, alpha in zip(looks.SEEDS, alphas, strict=True):
        seen = draws[:, :seeds]
        t = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / math.sqrt(seeds))
        found |= t > stats.t.isf(alpha, seeds - 1)
    return float(found.mean())


def test_looking_four_times_decides_wrongly_no_more_often_than_once() -> None:
    """25 000 runs: the standard error of a share of .025 is .001. At the full rate each time it would be twice as much."""
    draws = np.random.default_rng(0).normal(size=(25_000, looks.SEEDS[-1]))
    assert 0.015 < share_ever_decided(draws, [looks.look(number).alpha for number in range(4)]) < 0.025
    assert share_ever_decided(draws, [looks.ALPHA] * 4) > 0.05


@pytest.mark.parametrize("made", range(1, 5))
def test_no_number_of_looks_spends_more_than_alpha(made: int) -> None:
    assert math.fsum(looks.look(number).alpha for number in range(made)) <= looks.spent(looks.SEEDS[made - 1]) + 1e-15


@given(st.sets(st.integers(1, 12), min_size=1))
def test_what_is_spent_grows_with_the_seeds_whenever_one_looks(seeds: set[int]) -> None:
    spent = [looks.spent(n) for n in sorted(seeds)]
    assert all(a < b for a, b in itertools.pairwise([0.0, *spent]))
    assert spent[-1] <= looks.ALPHA
