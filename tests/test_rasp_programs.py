"""The RASP programs of the Tracr tasks give the answers worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.tasks.programs import count, interpret, kth_largest


@pytest.mark.parametrize(
    "letter, string, values",
    [
        # Index 0 is hit by indicators of 0, the other letters; index 1 by indicators of 1; no indicator is more than 1.
        ("a", "abaca", [2, 3, 0, 0, 0]),
        ("b", "abaca", [4, 1, 0, 0, 0]),
        ("a", "bcd", [3, 0, 0]),
        ("a", "aaaa", [0, 4, 0, 0]),
        ("i", "ia", [1, 1]),
    ],
)
def test_the_counter_has_the_count_at_the_second_letter(letter: str, string: str, values: list[int]) -> None:
    assert interpret(count(letter), string) == values


@pytest.mark.parametrize(
    "k, string, letter",
    [
        (5, "zyxwvut", "x"),  # t u v w x y z
        (7, "zyxwvut", "z"),
        (5, "qzkfbmw", "q"),  # b f k m q w z
        (7, "hgfedcba", "g"),
        (1, "cab", "a"),
        (3, "cab", "c"),
    ],
)
def test_the_max_identifier_has_the_kth_letter_everywhere(k: int, string: str, letter: str) -> None:
    assert interpret(kth_largest(k), list(string)) == [letter] * len(string)


@given(st.lists(st.sampled_from("abcdefghi"), min_size=2, max_size=20), st.sampled_from("ab"))
def test_any_string_is_counted(letters: list[str], letter: str) -> None:
    assert interpret(count(letter), letters)[1] == letters.count(letter)


@given(st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=7, unique=True), st.integers(1, 7))
def test_the_kth_letter_of_any_string_is_found(letters: list[str], k: int) -> None:
    assert interpret(kth_largest(k), letters)[1] == sorted(letters)[k - 1]


@pytest.mark.parametrize("program", [count("a"), count("b"), kth_largest(5)], ids=["count a", "count b", "5th"])
def test_no_name_of_an_expression_begins_another(program: Any) -> None:
    """A compiled model's residual dimensions are in alphabetical order of these names, and must stay in it."""
    expressions: list[Any] = []

    def visit(expression: Any) -> None:
        if all(expression is not seen for seen in expressions):
            expressions.append(expression)
            for child in expression.children:
                visit(child)

    visit(program)
    names = [e.name for e in expressions] + ["one"]  # tracr adds a dimension of that name
    assert names[0] == "answer" and {"tokens", "indices"} < set(names) and len(names) > 6
    assert not [(a, b) for i, a in enumerate(names) for j, b in enumerate(names) if i != j and b.startswith(a)]


def test_a_rank_that_is_none_is_quoted() -> None:
    with pytest.raises(UsageError, match=r"rank 0 must be 1"):
        kth_largest(0)


def test_programs_are_written_and_interpreted_without_jax() -> None:
    program = (
        "import sys; from capbench.tasks.programs import count, interpret, kth_largest;"
        "before = 'tracr' in sys.modules;"
        "print(interpret(count('a'), 'aba')[1], interpret(kth_largest(2), 'cba')[1], before, 'jax' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "2 b False False\n", "")
