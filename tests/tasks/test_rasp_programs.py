"""RASP programs, those of the Tracr tasks and those written as data, give the answers worked out by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import built

from capbench.errors import UsageError
from capbench.pipeline.build import load_model
from capbench.pipeline.steps import Compile
from capbench.store.store import Store
from capbench.tasks import rasp
from capbench.tasks.rasp import (
    Affine,
    Aggregate,
    AtLeast,
    Indices,
    Line,
    LinearSequenceMap,
    Map,
    Mix,
    Rank,
    RaspProgram,
    Select,
    SelectorWidth,
    SequenceMap,
    Tokens,
    to_text,
)
from capbench.tasks.tracr.programs import count, interpret, kth_largest


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
        "import sys; from capbench.tasks.tracr.programs import count, interpret, kth_largest;"
        "before = 'tracr' in sys.modules;"
        "print(interpret(count('a'), 'aba')[1], interpret(kth_largest(2), 'cba')[1], before, 'jax' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "2 b False False\n", "")


TOKENS, INDICES = Tokens(), Indices()
EVERYWHERE = Select(keys=TOKENS, queries=TOKENS, comparison="true")
IS_TWO = Map(function=AtLeast(value=2), of=TOKENS, numerical=True)
LATER = Map(function=AtLeast(value=1), of=INDICES, numerical=True)
SHARE = Aggregate(select=EVERYWHERE, values=IS_TWO)
NAMED = Aggregate(select=Select(keys=INDICES, queries=TOKENS, comparison="=="), values=TOKENS)


@pytest.mark.parametrize(
    "output, values",
    [
        (Map(function=Affine(a=2, b=1, modulo=4), of=TOKENS), [1, 1, 3, 1]),  # 5 1 3 5, modulo 4
        (SequenceMap(function=Mix(a=1, b=2, modulo=5), first=TOKENS, second=INDICES), [2, 2, 0, 3]),  # 2 2 5 8
        (SelectorWidth(select=Select(keys=TOKENS, queries=INDICES, comparison="<=")), [1, 2, 4, 4]),
        (SelectorWidth(select=Select(keys=TOKENS, queries=INDICES, comparison=">")), [3, 2, 0, 0]),
        (IS_TWO, [1, 0, 0, 1]),
        (SHARE, [0.5, 0.5, 0.5, 0.5]),
        (Map(function=AtLeast(value=0.5), of=SHARE), [1, 1, 1, 1]),
        # At index 0 nothing is less than the first index: an average of nothing is 0.
        (
            Aggregate(select=Select(keys=INDICES, queries=INDICES, comparison="<"), values=IS_TWO),
            [0, 1, 1 / 2, 1 / 3],
        ),
        (Map(function=Line(slope=3, intercept=-1), of=IS_TWO, numerical=True), [2, -1, -1, 2]),
        (LinearSequenceMap(first=SHARE, second=LATER, first_factor=2, second_factor=-1), [1, 0, 0, 0]),
        (NAMED, [1, 2, 0, 1]),  # of index 2, 0, 1 and 2
        (Aggregate(select=EVERYWHERE, values=TOKENS), [5 / 4] * 4),
    ],
)
def test_a_program_of_data_does_what_its_parts_say(output: Any, values: list[Any]) -> None:
    program = RaspProgram(output=output)
    assert rasp.interpret(program, [2, 0, 1, 2]) == pytest.approx(values)
    assert rasp.build(program)([2, 0, 1, 2]) == pytest.approx(values)


def test_a_class_of_nothing_is_none_and_stays_so() -> None:
    after = SequenceMap(function=Mix(a=1, b=1, modulo=5), first=NAMED, second=TOKENS)
    for output, values in ((NAMED, [None, 3]), (after, [None, 3])):  # there is no index 3; index 0 has a 3
        program = RaspProgram(output=output, vocab=(0, 3))
        assert rasp.interpret(program, [3, 0]) == rasp.build(program)([3, 0]) == values
    compared = RaspProgram(output=SelectorWidth(select=Select(keys=NAMED, queries=TOKENS, comparison="==")))
    with pytest.raises(UsageError, match=r"Select: == cannot compare the None that the string \[2\] gives"):
        rasp.interpret(compared, [2])
    averaged = RaspProgram(output=Aggregate(select=EVERYWHERE, values=NAMED))
    with pytest.raises(UsageError, match=r"cannot average \[None, 2\] .string \[2, 0\]"):
        rasp.interpret(averaged, [2, 0])


def test_equal_parts_are_built_once() -> None:
    one, other = (Select(keys=Tokens(), queries=Indices(), comparison="<") for _ in range(2))
    width = SelectorWidth(select=one)
    made: Any = rasp.build(RaspProgram(output=Aggregate(select=other, values=width)))
    assert made.selector is made.sop.selector


@pytest.mark.parametrize(
    "write, said",
    [
        (lambda: RaspProgram(output=TOKENS), "returns its Tokens unchanged: there is nothing to compile"),
        (
            lambda: RaspProgram(output=Map(function=Affine(a=1, b=0, modulo=2), of=INDICES)),
            "(Indices, Map) does not read its Tokens",
        ),
        (lambda: RaspProgram(output=EVERYWHERE), "must be an expression with a value for every position"),
        (lambda: RaspProgram(output=NAMED, vocab=(0, 0)), "vocab (0, 0) must be distinct tokens"),
        (
            lambda: RaspProgram(output=IS_TWO, vocab=("a", "b")),
            "needs numbers, not the letters of ('a', 'b'): take their Rank",
        ),
        (
            lambda: RaspProgram(output=Map(function=Rank(values=("b", "a")), of=TOKENS), vocab=("a", "b")),
            "Rank of ('b', 'a') must be over the vocab ('a', 'b')",
        ),
        (lambda: Select(keys=TOKENS, queries=TOKENS, comparison="="), "comparison '=' must be one of true, ==, <"),
        (lambda: Select(keys=IS_TWO, queries=TOKENS, comparison="=="), "takes classes, but the Map gives numbers"),
        (lambda: Aggregate(select=EVERYWHERE, values=SHARE), "averages only the numbers 0 and 1"),
        (lambda: Affine(a=1, b=0, modulo=0), "modulo 0 must be"),
        (lambda: Map(function=Line(slope=1, intercept=0), of=IS_TWO), "numerical must be True"),
        (
            lambda: Map(function=Line(slope=1, intercept=0), of=TOKENS, numerical=True),
            "Map of Line: it takes numbers, but the Tokens gives classes",
        ),
        (
            lambda: SequenceMap(function=Mix(a=1, b=1, modulo=2), first=TOKENS, second=TOKENS),
            "both inputs are the same Tokens; use a Map",
        ),
        (
            lambda: LinearSequenceMap(first=SHARE, second=TOKENS, first_factor=1, second_factor=1),
            "takes numbers, but the Tokens gives classes",
        ),
        (lambda: rasp.interpret(RaspProgram(output=NAMED), [0, 7]), "token 7 is not in the vocab (0, 1, 2)"),
        (lambda: rasp.interpret(RaspProgram(output=NAMED), [0] * 5), "a string of 5 tokens: it must have 1 to 4"),
        (lambda: rasp.from_text("count(a)"), "'count(a)' is not a RASP program written by to_text"),
        (lambda: rasp.from_text("[]"), "'[]' is not a RASP program"),
        (lambda: rasp.from_text(to_text(RaspProgram(output=NAMED)).replace("Agg", "Ag")), "(KeyError: 'Agregate')"),
    ],
)
def test_what_is_no_program_is_refused_in_one_line(write: Any, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as raised:
        write()
    assert "\n" not in str(raised.value)


def test_the_text_of_a_program_can_be_compiled_by_a_step(tmp_path: Path) -> None:
    rank = Map(function=Rank(values=("b", "a")), of=TOKENS)
    before = Select(keys=rank, queries=rank, comparison="<")
    program = RaspProgram(output=SelectorWidth(select=before), vocab=("b", "a"), max_seq_len=3)
    step = Compile(
        program="capbench.tasks.rasp:compiled",
        arguments=(to_text(program),),
        vocabulary=("b", "a"),
        max_seq_len=3,
        bos="BOS",
        pad="PAD",
    )
    store = Store(tmp_path)
    built(store, [step])
    model: Any = load_model(step, store)
    assert model.apply(["BOS", "a", "b", "b"]).decoded == ["BOS", 2, 0, 0]
