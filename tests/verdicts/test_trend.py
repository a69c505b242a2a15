"""Trends of quantities over ordered conditions, seed by seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.verdicts.effects import Effect, trend

values = st.lists(st.floats(0, 1), min_size=2, max_size=6)


def of(*by_condition: float) -> float:
    (found,) = trend(*(Effect([value], kind="accuracy", scale="small", n=512) for value in by_condition))
    return found


@pytest.mark.parametrize(
    ("by_condition", "expected"),
    [
        ((0.1, 0.2, 0.5, 0.9, 1.0), 1.0),
        ((1.0, 0.9, 0.5, 0.2, 0.1), -1.0),
        ((0.2, 0.1, 0.5, 1.0, 0.9), 0.6),  # two of ten pairs fall
        ((0.1, 0.2, 1.0, 1.0, 1.0), 0.7),  # three ties count neither way
        ((1.0, 1.0, 1.0, 1.0, 1.0), 0.0),
        ((0.3, 0.1, 0.2), pytest.approx(-1 / 3)),
    ],
)
def test_it_is_the_share_of_pairs_that_grow_minus_that_of_those_that_fall(
    by_condition: tuple[float, ...], expected: float
) -> None:
    assert of(*by_condition) == expected


def test_it_is_taken_seed_by_seed_and_is_of_a_kind_of_its_own() -> None:
    found = trend(Effect([0.1, 0.9], kind="accuracy", n=512), Effect([0.2, 0.3], kind="accuracy", n=512))
    assert found == [1.0, -1.0]
    assert (found.kind, found.n, found.prior(at_end=False)) == ("trend", 0, None)


@given(values)
def test_turned_round_it_changes_its_sign_and_whatever_keeps_the_order_keeps_it(found: list[float]) -> None:
    assert of(*reversed(found)) == -of(*found)
    assert of(*(2 * x + 1 for x in (round(y, 3) for y in found))) == of(*(round(y, 3) for y in found))
    assert -1 <= of(*found) <= 1
