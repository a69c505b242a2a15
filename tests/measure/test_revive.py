"""Reading revival curves: steps to an accuracy, the fastest rate, and the speed-up with every kind of censoring."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.measure.revive import SpeedUp, Time, fastest, largest, speed_up, spread, steps_to, time_to

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


def times(*curves: list[tuple[int, float]], budget: int = 400) -> list[Time]:
    return [time_to(curve, 0.95, budget=budget) for curve in curves]


@pytest.mark.parametrize(
    ("curves", "steps"),
    [
        ([SLOW], 30),
        ([SLOW, DIPS], 10),
        ([DIPS, SLOW], 10),
        ([NEVER, SLOW], 30),
        ([AT_ONCE, SLOW], 0),
        ([NEVER, NEVER], None),
    ],
)
def test_fastest_is_the_least_over_the_rates_that_got_there(
    curves: list[list[tuple[int, float]]], steps: int | None
) -> None:
    assert fastest(iter(times(*curves))) == Time(steps=steps, budget=400)
    assert fastest([]) is None


def test_what_was_given_up_earlier_may_have_been_the_fastest() -> None:
    early, late = Time(steps=None, budget=20), Time(steps=30, budget=400)
    assert fastest([early, late]) == Time(steps=None, budget=20)  # all that is known: more than 20
    assert fastest([replace(early, budget=30), late]) == late
    assert fastest([early, replace(early, budget=10)]) == Time(steps=None, budget=10)


@pytest.mark.parametrize(
    ("revival", "baseline", "ratio", "bound", "note"),
    [
        (25, 150, 6.0, "", ""),
        (150, 25, 1 / 6, "", ""),
        (50, 50, 1.0, "", ""),
        (50, 0, 0.0, "", ""),  # the baseline had it before its first step
        (25, None, 16.0, ">=", "censored: the baseline did not reach the accuracy in 400 steps"),
        (None, 100, 0.125, "<=", "censored: the revival did not reach the accuracy in 800 steps"),
        (None, 0, 0.0, "<=", "censored: the revival did not reach the accuracy in 800 steps"),
        (None, None, None, "", "censored: neither the revival nor its baseline reached the accuracy in 400 steps"),
        (0, 100, None, "", "nothing to revive: the accuracy was reached before the first step"),
        (0, 0, None, "", "nothing to revive: the accuracy was reached before the first step"),
        (0, None, None, "", "nothing to revive: the accuracy was reached before the first step"),
    ],
)
def test_speed_up_is_baseline_over_revival_and_says_when_it_is_a_bound(
    revival: int | None, baseline: int | None, ratio: float | None, bound: str, note: str
) -> None:
    found = speed_up(Time(steps=revival, budget=800), Time(steps=baseline, budget=400))
    assert found.value == (None if ratio is None else pytest.approx(ratio))
    assert (found.bound, found.note) == (bound, note)


def test_without_one_of_the_two_there_is_no_speed_up() -> None:
    time = Time(steps=10, budget=400)
    assert (speed_up(None, time).note, speed_up(time, None).note) == ("there is no revival", "there is no baseline")
    assert speed_up(None, time).value is speed_up(time, None).value is None


@st.composite
def races(draw: st.DrawFn) -> tuple[SpeedUp, SpeedUp]:
    """What is known of a speed-up under drawn budgets, and the speed-up itself."""
    (revival, baseline), (patience, other) = (
        draw(st.tuples(st.integers(1, 400), st.integers(1, 400))) for _ in range(2)
    )
    known = speed_up(seen(revival, patience), seen(baseline, other))
    return known, speed_up(seen(revival, 400), seen(baseline, 400))


def seen(steps: int, budget: int) -> Time:
    return Time(steps=steps if steps <= budget else None, budget=budget)


def holds(known: SpeedUp, true: float) -> bool:
    assert known.value is not None
    return {"": known.value == true, ">=": known.value <= true, "<=": known.value >= true}[known.bound]


@given(races())
def test_censoring_bounds_the_true_speed_up(race: tuple[SpeedUp, SpeedUp]) -> None:
    known, true = race
    assert known.value is None or holds(known, true.value or 0)


@given(st.lists(races(), min_size=1, max_size=4))
def test_the_largest_speed_up_is_bounded_too(found: list[tuple[SpeedUp, SpeedUp]]) -> None:
    measured = [(known, true) for known, true in found if known.value is not None]
    worst = largest([known for known, _ in found])
    if measured:
        assert holds(worst, max(true.value or 0 for _, true in measured))
    else:
        assert worst.value is None and worst.note.startswith("censored: neither")


@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.lists(st.integers(1, 400), min_size=4, max_size=4))
def test_the_fastest_is_never_said_to_be_slower_or_faster_than_it_is(true: list[int], budgets: list[int]) -> None:
    found = fastest([seen(steps, budget) for steps, budget in zip(true, budgets, strict=False)])
    assert found is not None
    assert min(true) == found.steps if found.steps is not None else min(true) > found.budget


@pytest.mark.parametrize(
    ("found", "value", "bound"),
    [
        ([(5.0, ""), (0.3, "<=")], 5.0, ""),  # a plateau between the two levels: revived to the lower one
        ([(0.4, ""), (0.7, "<=")], 0.7, "<="),  # between .4 and .7
        ([(1.0, ""), (1.0, "<=")], 1.0, ""),
        ([(5.0, ""), (3.0, ">=")], 5.0, ">="),
        ([(3.0, ">="), (0.2, "<=")], 3.0, ">="),
        ([(1.2, ""), (None, "")], 1.2, ""),  # what neither reached says nothing
        ([(None, "")], None, ""),
        ([], None, ""),
    ],
)
def test_the_largest_speed_up_is_the_worst_case(
    found: list[tuple[float | None, str]], value: float | None, bound: str
) -> None:
    worst = largest(SpeedUp(value=v, bound=b) for v, b in found)
    assert (worst.value, worst.bound) == (value, bound)


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), max_size=6), st.floats(0, 1))
def test_a_higher_accuracy_never_takes_fewer_steps(points: list[tuple[int, float]], level: float) -> None:
    curve = sorted(points)
    easier, harder = steps_to(curve, level / 2), steps_to(curve, level)
    if harder is not None:
        assert easier is not None
        assert easier <= harder


def taken(*steps: int | None) -> list[Time]:
    return [Time(steps=n, budget=400) for n in steps]


def test_the_spread_is_that_of_a_speed_up_of_one_over_another() -> None:
    assert spread(taken(100, 100, 100)).value == 0
    # Logarithms of 100, 100e and 100/e have a standard deviation of 1; a ratio has the noise of two.
    apart = spread(taken(1000, round(1000 * math.e), round(1000 / math.e)))
    assert apart.value == pytest.approx(math.exp(math.sqrt(2)) - 1, rel=1e-3)


@given(st.lists(st.integers(1, 400), min_size=3, max_size=8), st.integers(2, 50))
def test_the_spread_does_not_hang_on_the_unit_of_time(steps: list[int], factor: int) -> None:
    assert spread(taken(*steps)).value == pytest.approx(spread(taken(*(factor * n for n in steps))).value, abs=1e-9)


@pytest.mark.parametrize(("steps", "why"), [((100, 200, None), "censored"), ((100, 200), "three are needed")])
def test_without_all_of_three_times_there_is_no_spread(steps: tuple[int | None, ...], why: str) -> None:
    found = spread(taken(*steps))
    assert found.value is None and why in found.note
