"""Areas under ROC curves and their intervals: by hand, and what must hold of any sample."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.studies.calibration import areas
from capbench.studies.calibration.areas import Sample, auc, auc_interval, pooled, roc, share_interval

numbers = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=8)
halves = st.dictionaries(st.integers(0, 9), st.tuples(numbers, numbers), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [
        ([3, 2], [1, 0], 1.0),
        ([1, 0], [3, 2], 0.0),
        ([1], [1], 0.5),
        ([3, 1], [2, 0], 0.75),  # of the four pairs one is the wrong way round
        ([2, 2], [2, 0], 0.75),  # two ties
        ([5], [1, 2, 3, 9], 0.75),
        ([math.inf, 1], [0, math.inf], 0.625),  # a bound that says nothing: right, tied, right, wrong
    ],
)
def test_the_area_under_the_curve_by_hand(positive: list[float], negative: list[float], area: float) -> None:
    assert auc(positive, negative) == area


def test_a_roc_curve_by_hand() -> None:
    # thresholds 3, 2, 1, 0; a positive is a wrapped model, a negative a deleted one
    assert roc([3, 1], [2, 0]) == [(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)]


@given(numbers, numbers)
def test_the_roc_curve_encloses_the_area(positive: list[float], negative: list[float]) -> None:
    points = roc(positive, negative)
    assert points[0] == (0, 0) and points[-1] == (1, 1) and points == sorted(points)
    trapezoids = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    assert trapezoids == pytest.approx(auc(positive, negative))
    assert auc(positive, negative) + auc(negative, positive) == pytest.approx(1)


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(areas, "DRAWS", 200)


@settings(max_examples=25)
@given(halves)
def test_an_interval_depends_on_ranks_alone_and_lies_within_those_of_single_models(
    by_seed: Mapping[int, Sample],
) -> None:
    found = auc_interval(by_seed)
    assert found is not None
    low, high = found
    assert 0 <= low <= high <= 1
    stretched = {seed: ([v**3 - 5 for v in w], [v**3 - 5 for v in d]) for seed, (w, d) in by_seed.items()}
    assert auc_interval(stretched) == found
    assert auc_interval(by_seed) == found, "drawn from a seed of its own"


def test_where_no_pair_is_the_wrong_way_round_the_interval_is_a_point() -> None:
    assert auc_interval({0: ([3, 4], [1]), 1: ([5], [2, 2])}) == (1.0, 1.0)
    assert auc_interval({0: ([1], [3, 4]), 1: ([2, 2], [5])}) == (0.0, 0.0)


def test_a_side_without_a_value_has_no_area() -> None:
    assert auc_interval({0: ([], [1.0]), 1: ([], [2.0])}) is None
    assert share_interval({0: [], 1: []}) is None


def test_seeds_that_differ_widen_the_interval_where_models_alone_would_not() -> None:
    """The same 24 values: shuffled over the seeds, or one seed the wrong way round. Both pool to the same area."""
    one_bad = {0: ([9.0] * 4, [1.0] * 4), 1: ([9.0] * 4, [1.0] * 4), 2: ([1.0] * 4, [9.0] * 4)}
    spread = {seed: ([9.0, 9.0, 9.0, 1.0], [1.0, 1.0, 1.0, 9.0]) for seed in range(4)}
    flat = {seed: ([9.0] * 8 + [1.0] * 4, [1.0] * 8 + [9.0] * 4) for seed in range(1)}
    assert auc(*pooled(one_bad)) == pytest.approx(auc(*pooled(flat)))
    (low, high), (low_flat, high_flat) = auc_interval(one_bad) or (0, 0), auc_interval(flat) or (0, 0)
    assert high - low > high_flat - low_flat
    found = auc_interval(spread)
    assert found is not None and found[0] < auc(*pooled(spread)) < found[1]


@settings(max_examples=25)
@given(st.dictionaries(st.integers(0, 9), st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=4))
def test_a_share_lies_within_its_interval(by_seed: Mapping[int, list[bool]]) -> None:
    every = [v for values in by_seed.values() for v in values]
    low, high = share_interval(by_seed) or (1, 0)
    assert 0 <= low <= high <= 1
    if len(set(every)) == 1:
        assert low == high == every[0]
