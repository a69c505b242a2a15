"""Reading revival curves: steps to an accuracy, the fastest rate, and the speed-up with every kind of censoring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.measure.revive import fastest, speed_up, steps_to

SLOW = [(0, 0.1), (10, 0.5), (20, 0.94), (30, 0.95), (40, 1.0)]
DIPS = [(0, 0.2), (10, 0.96), (20, 0.3), (30, 0.97)]
NEVER = [(0, 0.1), (10, 0.2), (20, 0.94)]
AT_ONCE = [(0, 0.95)]


@pytest.mark.parametrize(
    ("curve", "accuracy", "steps"),
    [
        (SLOW, 0.95, 30),  # exactly reached is reached
        (SLOW, 0.951, 40),
        (SLOW, 0.5, 10),
        (SLOW, 0.0, 0),
        (SLOW, 1.0, 40),
        (DIPS, 0.95, 10),  # the first time counts, also if it is lost again
        (AT_ONCE, 0.95, 0),  # zero steps is a number of steps, not a missing one
        (NEVER, 0.95, None),
        ([], 0.0, None),
    ],
)
def test_steps_to_is_the_first_evaluated_step_with_that_accuracy(
    curve: list[tuple[int, float]], accuracy: float, steps: int | None
) -> None:
    assert steps_to(curve, accuracy) == steps


@pytest.mark.parametrize(
    ("curves", "steps"),
    [
        ([SLOW], 30),
        ([SLOW, DIPS], 10),
        ([DIPS, SLOW], 10),
        ([NEVER, SLOW], 30),
        ([AT_ONCE, SLOW], 0),
        ([NEVER, NEVER], None),
        ([], None),
    ],
)
def test_fastest_is_the_least_over_the_rates_that_got_there(
    curves: list[list[tuple[int, float]]], steps: int | None
) -> None:
    assert fastest(curves, 0.95) == steps
    assert fastest(iter(curves), 0.95) == steps


@pytest.mark.parametrize(
    ("revival", "baseline", "ratio", "bound", "note"),
    [
        (25, 150, 6.0, "", ""),
        (150, 25, 1 / 6, "", ""),
        (50, 50, 1.0, "", ""),
        (50, 0, 0.0, "", ""),  # the baseline had it before its first step
        (25, None, 16.0, ">=", "censored: the baseline did not reach the accuracy in 400 steps"),
        (None, 100, 0.25, "<=", "censored: the revival did not reach the accuracy in 400 steps"),
        (None, 0, 0.0, "<=", "censored: the revival did not reach the accuracy in 400 steps"),
        (None, None, None, "", "censored: neither the revival nor its baseline reached the accuracy in 400 steps"),
        (0, 100, None, "", "nothing to revive: the accuracy was reached before the first step"),
        (0, 0, None, "", "nothing to revive: the accuracy was reached before the first step"),
        (0, None, None, "", "nothing to revive: the accuracy was reached before the first step"),
    ],
)
def test_speed_up_is_baseline_over_revival_and_says_when_it_is_a_bound(
    revival: int | None, baseline: int | None, ratio: float | None, bound: str, note: str
) -> None:
    found = speed_up(revival, baseline, budget=400)
    assert found.value == (None if ratio is None else pytest.approx(ratio))
    assert (found.bound, found.note) == (bound, note)


steps = st.integers(1, 400)


@given(revival=steps, baseline=steps)
def test_censoring_bounds_the_true_speed_up(revival: int, baseline: int) -> None:
    true = speed_up(revival, baseline, budget=400).value
    lower = speed_up(revival, None, budget=baseline).value  # stopped when the baseline needs at least that many
    upper = speed_up(None, baseline, budget=revival).value
    assert true is not None
    assert lower is not None
    assert upper is not None
    assert lower <= true <= upper


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), max_size=6), st.floats(0, 1))
def test_a_higher_accuracy_never_takes_fewer_steps(points: list[tuple[int, float]], level: float) -> None:
    curve = sorted(points)
    easier, harder = steps_to(curve, level / 2), steps_to(curve, level)
    if harder is not None:
        assert easier is not None
        assert easier <= harder
