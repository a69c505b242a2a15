"""Drawn RASP programs: valid as they come, the same after writing, to Tracr's interpreter and ours; simple when shrunk."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.tasks.rasp import (
    Affine,
    Aggregate,
    Indices,
    LinearSequenceMap,
    Map,
    Rank,
    RaspProgram,
    Select,
    SelectorWidth,
    SequenceMap,
    Tokens,
    build,
    expressions,
    from_text,
    interpret,
    to_text,
)
from capbench.variants.strategies.programs import rasp_programs

SIZES = st.sampled_from([((0, 1, 2), 4), ((7, 2), 3), ("abc", 3), ("x", 6)])
MANY = settings(max_examples=300, deadline=None)
CALM = settings(max_examples=400, deadline=None, database=None, derandomize=True, phases=[Phase.generate])


@MANY
@given(st.data())
def test_ours_is_tracrs_interpreter(data: st.DataObject) -> None:
    vocab, length = data.draw(SIZES)
    program = data.draw(rasp_programs(vocab=vocab, max_seq_len=length))
    built = build(program)
    for n in range(1, length + 1):
        for string in itertools.product(vocab, repeat=n):
            assert interpret(program, string) == list(built(list(string)))


@MANY
@given(rasp_programs(), rasp_programs(vocab=("é", "#0", 'a"')))
def test_a_program_survives_its_text(program: RaspProgram, lettered: RaspProgram) -> None:
    for one in (program, lettered):
        text = to_text(one)
        assert from_text(text) == one and to_text(from_text(text)) == text and "\n" not in text


def uses(kind: Any) -> Any:
    return lambda program: any(isinstance(node, kind) for node in expressions(program.output))


@pytest.mark.parametrize(
    "wanted, simplest",
    [
        (lambda program: True, Map(function=Affine(a=1, b=0, modulo=5), of=Tokens())),
        (
            uses(SelectorWidth),
            SelectorWidth(select=Select(keys=Tokens(), queries=Tokens(), comparison="true")),
        ),
        (
            uses(Aggregate),
            Aggregate(select=Select(keys=Indices(), queries=Tokens(), comparison="=="), values=Tokens()),
        ),
    ],
    ids=["anything", "width", "aggregate"],
)
def test_programs_shrink_to_the_simplest(wanted: Any, simplest: Any) -> None:
    found = find(rasp_programs(), wanted, settings=settings(max_examples=2000, deadline=None, database=None))
    assert found == RaspProgram(output=simplest)


def test_letters_shrink_to_their_rank() -> None:
    rank = Map(function=Rank(values=("b", "a")), of=Tokens())
    found = find(rasp_programs(vocab="ba", max_seq_len=2), lambda program: True, settings=settings(database=None))
    assert found.output == Map(function=Affine(a=1, b=0, modulo=5), of=rank)


def test_nothing_is_filtered_and_everything_is_drawn() -> None:
    """No draw is given up (that Hypothesis ends one because it wants a shorter one does not count); all kinds are common."""
    given_up, used, sizes = [], Counter[str](), Counter[int]()

    @settings(CALM, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def draw(data: Any) -> None:
        try:
            program = data.draw(rasp_programs())
        except BaseException:
            if data.conjecture_data.status.name != "OVERRUN":
                given_up.append(data.conjecture_data.status.name)
            raise
        nodes = expressions(program.output)
        used.update({type(node).__name__ for node in nodes})
        sizes[sum(not isinstance(node, (Tokens, Indices, Select)) for node in nodes)] += 1

    draw()
    assert sizes.total() == 400 and not given_up
    kinds = (Map, SequenceMap, LinearSequenceMap, Aggregate, SelectorWidth, Select, Tokens, Indices)
    assert {kind.__name__ for kind in kinds} == {name for name, n in used.items() if n >= 400 / 50}
    assert set(sizes) == {1, 2, 3, 4, 5}


@given(rasp_programs(max_operations=1))
def test_one_operation_is_one(program: RaspProgram) -> None:
    assert sum(not isinstance(node, (Tokens, Indices, Select)) for node in expressions(program.output)) == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"max_operations": 0}, "max_operations 0 must be a number of operations, 1 or more"),
        ({"vocab": ()}, r"vocab \(\) must be distinct tokens"),
        ({"vocab": ("a", 1)}, r"vocab \('a', 1\) must be .* all integers or all strings"),
        ({"max_seq_len": 0}, "max_seq_len 0 must be"),
    ],
)
def test_impossible_arguments_are_quoted(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rasp_programs(**arguments)
