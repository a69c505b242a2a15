"""The letters that an answer hangs on: worked out by hand; no other letter ever changes an answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.tasks.pcfg.deciding import among, deciding
from capbench.tasks.pcfg.setting import PcfgSetting

LETTERS = "abc"
LENGTH = 8


def setting(family: str, number: int) -> PcfgSetting:
    return PcfgSetting(text_len=LENGTH, numbers={family: number})


def array(*texts: str) -> np.ndarray:
    return np.array([["abc".find(letter) for letter in text] for text in texts], dtype=np.int16)


@pytest.mark.parametrize(
    "family, number, operand, text, expected",
    [
        ("C", 3, "a", "abcabcab", ".....cab"),
        ("CC", 3, "a", "abcabcaa", ".....caa"),  # a pair that begins before the window does not count
        ("I", 2, "a", "abcabcab", "...abcab"),
        ("I", 2, "c", "abcababa", "abcababa"),  # only one c: all letters say so
        ("IC", 1, "a", "bbaabcbb", "..aabcbb"),  # both letters of the pair
        ("IC", 2, "a", "baaabcbb", ".aaabcbb"),  # aaa holds the pair twice
        ("T", 6, "a", "abcabcab", "..c....."),
    ],
)
def test_the_deciding_letters_are_those_worked_out_by_hand(
    family: str, number: int, operand: str, text: str, expected: str
) -> None:
    found = deciding(setting(family, number), family, array(text), operand)
    assert np.array_equal(found, array(expected))  # find gives -1 for a dot, as for a masked letter


@given(
    st.sampled_from([("C", 4), ("CC", 4), ("I", 2), ("IC", 1), ("T", 5)]),
    st.sampled_from(LETTERS),
    st.lists(st.lists(st.integers(0, 2), min_size=LENGTH, max_size=LENGTH), min_size=2, max_size=2),
)
@settings(deadline=None, max_examples=150)
def test_other_letters_never_change_an_answer(asked: tuple[str, int], operand: str, texts: list[list[int]]) -> None:
    (token, number), (text, other) = asked, np.array(texts, dtype=np.int16)
    its = setting(token, number)
    decides = deciding(its, token, text[None], operand)
    changed = np.where(decides >= 0, text, other)
    answer, one = its.family(token).answer, np.array(LETTERS.index(operand))
    assert answer(changed, one, number) == answer(text[None], one, number)
    if its.family(token).answer(text[None], one, number) or not its.family(token).may_fail:
        assert np.array_equal(deciding(its, token, changed, operand), decides)


def test_a_string_is_among_others_only_if_one_is_equal_to_it() -> None:
    assert among(array("ab", "ba", "cc"), array("cc", "ab", "aa")).tolist() == [True, False, True]
    assert among(array("ab"), array("ab")[:0]).tolist() == [False]
