"""compile_rasp runs program and model on a sample of strings, and warns of a string on which they differ."""

from __future__ import annotations

import random
import re
from ast import literal_eval
from typing import Any

import numpy as np
import pytest
import torch
from rasp_programs import ABC, EQ, INDICES, LT, TOKENS, TRUE
from tracr.compiler import lib
from tracr.rasp import rasp

from capbench.errors import UsageError
from capbench.models.tracr import RaspWarning, compile_rasp
from capbench.models.tracr.checking import difference
from capbench.tasks.rasp import Map, RaspProgram, Tokens
from capbench.tasks.rasp.functions import Affine
from capbench.tasks.tracr import programs

EVERYWHERE = rasp.Select(TOKENS, TOKENS, TRUE)
SHARE = rasp.numerical(rasp.Aggregate(EVERYWHERE, rasp.numerical(TOKENS == "a"), default=0))
NUMBERS = {0, 1, 2}

DIFFERENT: dict[str, tuple[Any, Any, int, dict[str, Any]]] = {  # name: program, vocab, longest string, options
    "negative numbers from classes": (rasp.numerical(rasp.Map(lambda x: x - 1, TOKENS)), NUMBERS, 3, {}),
    "negative numbers from places": (
        rasp.numerical(
            rasp.LinearSequenceMap(
                rasp.numerical(rasp.Map(lambda i: -i, INDICES)), rasp.numerical(rasp.Map(lambda x: x, TOKENS)), 1, 1
            )
        ),
        NUMBERS,
        4,
        {},
    ),
    "counts above 9": (rasp.SelectorWidth(EVERYWHERE), {"a"}, 45, {}),
    "counts above 9 of several letters": (lib.make_hist(), ABC, 40, {}),
    "means of classes": (rasp.Aggregate(EVERYWHERE, TOKENS), {1, 2, 3}, 3, {}),
    "means of some classes": (rasp.Aggregate(rasp.Select(INDICES, INDICES, LT), TOKENS), {1, 5}, 4, {}),
    "averages that a map rounds": (rasp.numerical(rasp.Map(lambda x: 3 * x - 1, SHARE)), ABC, 4, {}),
    "keys made of numbers, which BOS has too": (
        rasp.SelectorWidth(rasp.Select(rasp.Map(lambda x: x > 0, SHARE), rasp.Map(lambda x: x > 0, SHARE), EQ)),
        ABC,
        3,
        {},
    ),
    "a causal count": (rasp.SelectorWidth(EVERYWHERE), ABC, 4, {"causal": True}),
    "the last token, causally": (lib.make_reverse(TOKENS), ABC, 4, {"causal": True}),
    "a small exactness": (lib.make_hist(), ABC, 6, {"mlp_exactness": 1}),
    "next to no exactness": (lib.make_hist(), ABC, 4, {"mlp_exactness": 1e-30}),
    "an exactness at which single precision overflows": (lib.make_hist(), ABC, 4, {"mlp_exactness": 3e37}),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_model_that_differs_from_its_program_is_told_with_a_string(name: str) -> None:
    program, vocab, longest, options = DIFFERENT[name]
    with pytest.warns(RaspWarning) as warned:
        model = compile_rasp(program, vocab, longest, **options)
    (one,) = warned
    said = str(one.message)
    assert "\n" not in said and one.filename == __file__
    found = re.match(
        rf"program '{program.name}': the compiled model differs from it: for the string (\[.*\]) the program says (\S+) "
        r"at position (\d+), the model (\S+?)(: with causal=True no position sees a later one)? "
        r"\(they differ on \d+ of \d+ strings tried\)$",
        said,
    )
    assert found, said
    string, position = literal_eval(found[1]), int(found[3])
    says, answers = program(string)[position], model.apply(["compiler_bos", *string]).decoded[1 + position]
    assert float(found[2]) == pytest.approx(says, rel=1e-4) if isinstance(says, float) else found[2] == repr(says)
    if "overflows" not in name:
        assert answers != says
        assert (
            float(found[4]) == pytest.approx(answers, rel=1e-4)
            if isinstance(answers, float)
            else found[4] == repr(answers)
        )
    assert bool(found[5]) == ("causal" in name)


@pytest.mark.parametrize(
    "program, vocab, longest, options",
    [
        (lib.make_hist(), ABC, 9, {}),  # counts to 9
        (rasp.SelectorWidth(EVERYWHERE), {"a"}, 45, {"mlp_exactness": 10_000}),
        (lib.make_frac_prevs(TOKENS == "a"), ABC, 5, {"causal": True}),
        (lib.shift_by(2, TOKENS), ABC, 5, {"causal": np.True_}),  # no value at the first two places
        (rasp.Aggregate(EVERYWHERE, TOKENS), {"a", "b"}, 2, {}),  # no mean of letters
        (rasp.Map(lambda x: np.int64(x) * 2, TOKENS), NUMBERS, 3, {}),
        (rasp.Map(lambda x: x > 1, TOKENS), NUMBERS, 3, {}),
        (rasp.Map(lambda x: x, TOKENS, simplify=False), {"a"}, 1, {}),
        (lib.make_hist(), ABC, np.int64(4), {"mlp_exactness": np.float32(50)}),
        (lib.make_hist(), ABC, np.uint8(4), {"mlp_exactness": np.int32(50)}),
    ],
)
@pytest.mark.filterwarnings("error::capbench.models.tracr.RaspWarning")
def test_a_model_that_does_what_its_program_says_is_compiled_in_silence(
    program: Any, vocab: Any, longest: Any, options: dict[str, Any]
) -> None:
    model = compile_rasp(program, vocab, longest, **options)
    assert type(model.config.max_seq_len) is int and type(model.config.causal) is bool


@pytest.mark.filterwarnings("error::capbench.models.tracr.RaspWarning")
def test_only_what_a_program_is_meant_for_is_compared() -> None:
    """The Counter's count at one place, up to 9: it makes no noise when compiled for strings of 20 letters."""
    compile_rasp(programs.count("a"), set("abcd"), 20)
    compile_rasp(programs.relabelled_count("a", 3, 21), set("abcd"), 20)
    assert programs.count("a").annotations["asked"]("a" * 9) == [1] and not programs.count("a").annotations["asked"](
        "a" * 10
    )
    wrong, vocab, longest, _ = DIFFERENT["means of classes"]
    compile_rasp(wrong.annotated(asked=lambda string: []), vocab, longest)
    with pytest.raises(RaspWarning, match="at position 2"):
        compile_rasp(wrong.annotated(asked=lambda string: [2]), vocab, longest)


def test_the_sample_leaves_generators_alone_and_is_the_same_again() -> None:
    program, vocab, longest, options = DIFFERENT["counts above 9 of several letters"]
    with pytest.warns(RaspWarning) as warned:
        model = compile_rasp(program, vocab, longest, **options)
    before = random.getstate(), torch.get_rng_state(), np.random.get_state()[1]
    assert str(warned[0].message).endswith(str(difference(model, program)))
    assert random.getstate() == before[0] and torch.equal(torch.get_rng_state(), before[1])
    assert np.array_equal(np.random.get_state()[1], before[2])


def test_an_expression_that_is_used_often_is_evaluated_once() -> None:
    """Otherwise this one's innermost part would be evaluated 128 times for every string."""
    calls = []
    value = rasp.Map(lambda x: calls.append(x) or x, TOKENS, simplify=False)
    for _ in range(7):
        value = rasp.SequenceMap(lambda x, y: y, value, rasp.Map(lambda x: x, value, simplify=False))
    compile_rasp(value, {0, 1}, 2)
    assert len(calls) < 100


@pytest.mark.parametrize("length", [True, np.True_, 0, -3, 4.0, "4", None, np.float64(4), np.int64(0)])
def test_a_length_that_is_none_is_refused_everywhere(length: Any) -> None:
    said = re.escape(f"max_seq_len {length!r} must be a number of tokens, 1 or more")
    with pytest.raises(UsageError, match=said):
        compile_rasp(lib.make_hist(), ABC, length)
    with pytest.raises(UsageError, match=said):
        RaspProgram(output=Map(function=Affine(a=1, b=0, modulo=2), of=Tokens()), vocab=(0, 1), max_seq_len=length)


def test_numpys_lengths_are_lengths() -> None:
    program = RaspProgram(
        output=Map(function=Affine(a=1, b=0, modulo=2), of=Tokens()), vocab=(0, 1), max_seq_len=np.int64(3)
    )
    assert type(program.max_seq_len) is int and program == RaspProgram(
        output=program.output, vocab=(0, 1), max_seq_len=3
    )
