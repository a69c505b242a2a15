"""The grid of a map: conditions as typed, neighbours that differ, and the places halfway between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.mapping.grid import Axis, axis, coarse, edges, halfway, neighbours, ordered

RATES, TIMES = axis("-x", "rate=10,0.1,1"), axis("-y", "times=1,3")


def test_conditions_as_typed() -> None:
    assert Axis(name="rate", values=(0.1, 1, 10)) == RATES and [type(v) for v in RATES.values] == [float, int, int]
    assert axis("-x", "answers=random, constant").values == ("random", "constant")
    assert axis("-x", "prior=0.9,0.99,low").values == ("0.9", "0.99", "low")  # a prior is a name
    assert axis("-x", "prior=0.9,0.99").values == ("0.9", "0.99")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate", "must be a condition and two values or more"),
        ("rate=1", "two values or more"),
        ("=1,2", "must be a condition"),
        ("rate=1,1.0", "has a value twice"),
        ("", "must be a condition"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf"^-x {text}: .*{said}"):
        axis("-x", text)


def test_neighbours_that_differ() -> None:
    states = {
        **{(0.1, 1): "intact", (1, 1): "wrapped", (10, 1): "wrapped"},
        **{(0.1, 3): "intact", (1, 3): "wrapped", (10, 3): "deleted"},
    }
    assert len(neighbours(RATES, TIMES, coarse(RATES, TIMES))) == 7  # four to the right, three upwards
    found = edges(RATES, TIMES, states)
    assert found == [((0.1, 1), (1, 1)), ((0.1, 3), (1, 3)), ((1, 3), (10, 3)), ((10, 1), (10, 3))]
    assert halfway(RATES, TIMES, found) == [(0.32, 1), (0.32, 3), (3.2, 3), (10, 2)]  # rates: on a logarithmic scale
    assert edges(RATES, TIMES, dict.fromkeys(states, "wrapped")) == []


def test_what_came_in_between_is_a_neighbour() -> None:
    places = [*coarse(RATES, TIMES), (0.32, 1)]
    pairs = neighbours(RATES, TIMES, places)
    assert ((0.1, 1), (0.32, 1)) in pairs and ((0.32, 1), (1, 1)) in pairs and ((0.1, 1), (1, 1)) not in pairs
    assert ((0.1, 3), (1, 3)) in pairs  # the line above has nothing in between


def test_nothing_lies_between_words_or_next_numbers() -> None:
    words = axis("-x", "answers=random,constant")
    assert words.between("random", "constant") is None and ordered(words, ["constant", "random"]) == [
        "random",
        "constant",
    ]
    assert axis("-x", "rate=1,1.001").between(1, 1.001) is None
    assert axis("-x", "c_tr=0,1").between(0, 1) == 0.5  # no zero on a logarithmic scale


@given(st.lists(st.integers(1, 10**6), min_size=2, unique=True))
def test_halfway_lies_between(values: list[int]) -> None:
    made = axis("-x", f"times={','.join(map(str, values))}")
    for low, high in zip(made.values, made.values[1:], strict=False):
        middle = made.between(low, high)
        assert middle is None or low < middle < high  # type: ignore[operator]
    assert list(made.values) == sorted(values)
