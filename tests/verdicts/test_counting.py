"""The rule by which seeds are counted, by hand and as properties."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.verdicts.counting import agreed, tally

N = None


@pytest.mark.parametrize(
    ("by_seed", "found"),
    [
        ("", N),
        ("w", "w"),
        ("-", N),
        ("ww", "w"),
        ("wd", N),
        ("w-", N),  # half of the seeds is less than two thirds
        ("www", "w"),
        ("ww-", "w"),  # two thirds are decided, and agree
        ("wwd", N),  # two of three are less than four fifths
        ("w--", N),
        ("wwwwd", "w"),  # four fifths
        ("wwwdd", N),
        ("www-d", N),  # three of the four decided
        ("wwww-", "w"),
        ("www--", N),  # three of five are less than two thirds
        ("wwwwwwwwww--dd", "w"),  # ten of twelve
    ],
)
def test_four_fifths_of_the_decided_seeds_and_two_thirds_decided(by_seed: str, found: str | None) -> None:
    assert agreed([None if one == "-" else one for one in by_seed]) == found


@given(st.lists(st.sampled_from(["w", "d", None]), max_size=12), st.randoms())
def test_the_order_of_the_seeds_does_not_matter_and_what_is_found_is_the_most_frequent(by_seed, random) -> None:  # type: ignore[no-untyped-def]
    found = agreed(by_seed)
    assert agreed(random.sample(by_seed, len(by_seed))) == found
    if found is not None:
        assert by_seed.count(found) == max(Counter(one for one in by_seed if one).values())
        assert agreed([*by_seed, found]) == found  # a seed more that says the same changes nothing


def test_the_count_in_words() -> None:
    assert tally(["deleted", "wrapped", "wrapped"]) == "wrapped on 2 of 3 seeds, deleted on 1"
    assert tally(["wrapped"]) == "wrapped on the only seed"
