"""The task families' answers on arrays: those worked out by hand, and the oracle's on any texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pcfg_prompts import CASES

from capbench.tasks.pcfg import oracle
from capbench.tasks.pcfg.families import FAMILIES

LETTERS = "abc"


def words(text: list[int]) -> list[str]:
    return [LETTERS[i] for i in text]


@pytest.mark.parametrize("header, text, expected", CASES)
def test_an_answer_is_the_one_worked_out_by_hand(header: str, text: str, expected: str) -> None:
    name, operand, number = header.split()
    family = FAMILIES[name]
    array = np.array([[LETTERS.index(w) for w in text.split()]], dtype=np.int16)
    found = family.answer(array, np.array(max(LETTERS.find(operand[0]), 0)), int(number)).item()
    assert (LETTERS[found] if family.answers == "terminal" else str(found)) == expected


@st.composite
def texts(draw: st.DrawFn, letters: int = 3) -> np.ndarray:
    """Any texts of one length, not only a grammar's."""
    n, length = draw(st.integers(1, 6)), draw(st.integers(2, 14))
    row = st.lists(st.integers(0, letters - 1), min_size=length, max_size=length)
    return np.array(draw(st.lists(row, min_size=n, max_size=n)), dtype=np.int16)


@given(texts(), st.sampled_from(sorted(FAMILIES)), st.data())
@settings(deadline=None, max_examples=150)
def test_answers_are_the_oracles_on_any_texts(text: np.ndarray, name: str, data: st.DataObject) -> None:
    family, (n, length) = FAMILIES[name], text.shape
    number = data.draw(st.integers(family.symbols, length))
    operand = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    found = family.answer(text, operand, number)
    for row, one, here in zip(text.tolist(), operand.tolist(), found.tolist(), strict=True):
        named = {"terminal": LETTERS[one], "composite": LETTERS[one] * 2, "null": "NULL"}[family.operand]
        expected = oracle.answer(["SOS", f"T_{name}", named, str(number), "SOT", *words(row), "EOT", "ART"])
        assert (LETTERS[here] if family.answers == "terminal" else str(here)) == expected
        # One operand for all texts, or one for each, is the same.
        assert family.answer(np.array([row]), np.array(one), number).item() == here


@given(texts(letters=2), st.sampled_from([("I", "C"), ("IC", "CC")]), st.integers(1, 5))
@settings(deadline=None)
def test_the_kth_occurrence_begins_the_shortest_window_that_counts_k(
    text: np.ndarray, names: tuple[str, str], k: int
) -> None:
    index, count = (FAMILIES[name].answer for name in names)
    a, length = np.array(0), text.shape[1]
    for row, position in zip(text, index(text, a, k).tolist(), strict=True):
        counts = [count(row[None], a, window).item() for window in range(1, length + 1)]
        if position == 0:
            assert max(counts) < k
        else:  # a composite begins one position before the one where it stands
            assert counts.index(k) + 1 == position + FAMILIES[names[0]].symbols - 1


@given(texts(), st.sampled_from(sorted(FAMILIES)))
@settings(deadline=None)
def test_only_the_families_that_may_fail_give_an_answer_that_means_not_found(text: np.ndarray, name: str) -> None:
    family = FAMILIES[name]
    answers = family.answer(text, np.array(2), 2)
    least, most = {"C": (0, 2), "CC": (0, 1), "I": (2, text.shape[1]), "IC": (2, text.shape[1] - 1), "T": (0, 2)}[name]
    assert all(least <= answer <= most or (family.may_fail and answer == 0) for answer in answers)


def test_the_families_are_those_of_the_paper() -> None:
    assert {name: (f.operand, f.answers, f.may_fail) for name, f in FAMILIES.items()} == {
        "C": ("terminal", "number", False),
        "CC": ("composite", "number", False),
        "I": ("terminal", "number", True),
        "IC": ("composite", "number", True),
        "T": ("null", "terminal", False),
    }
