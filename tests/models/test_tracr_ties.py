"""Where a program has a value, `apply`, `answer_logits` and Tracr's own model give it; elsewhere ours agree with each other.

Where it has none, Tracr's own answer is a matter of rounding, which differs between processors. Ours is the same on all of them;
it is what Tracr answers on one with AVX2, and stands here as `ANSWERS`.

CAPBENCH_THOROUGH=1 compares a thousand random programs with Tracr's models instead of a few (ten to twenty minutes).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from rasp_programs import EQ, INDICES, TOKENS
from tracr.rasp import rasp

from capbench.models.tracr import TracrTransformer, compile_rasp
from capbench.models.tracr.assembling import compile_with_tracr
from capbench.models.tracr.compiling import _numbered
from capbench.tasks.rasp import RaspProgram, build, interpret
from capbench.variants.strategies.programs import rasp_programs

jax.config.update("jax_disable_most_optimizations", True)  # what runs here is compiled for a few strings

THOROUGH = bool(os.environ.get("CAPBENCH_THOROUGH"))
BOS = "compiler_bos"


def at(offset: int) -> Any:
    """The token so many places further on."""
    return rasp.Aggregate(rasp.Select(INDICES, INDICES, lambda key, query: key == query + offset), TOKENS)


def mapped(function: Any, value: Any) -> Any:
    return rasp.Map(function, value, simplify=False)


NEXT, BEFORE = at(1), at(-2)
WITHOUT_VALUES = {  # name: (program, vocab, longest string)
    "the end compared": (rasp.SequenceMap(lambda x, y: (x > y) - (x < y), TOKENS, NEXT), {0, 1, 2}, 3),
    "the end mapped": (mapped(lambda x: -x, NEXT), {0, 1, 2, 3}, 5),
    "two ends": (rasp.SequenceMap(lambda x, y: 2 * x + y, NEXT, BEFORE), {0, 1}, 6),
    "in a chain": (
        rasp.SequenceMap(lambda x, y: (x + y) % 4, INDICES, mapped(lambda x: (x + 1) % 3, NEXT)),
        {0, 1, 2},
        4,
    ),
    "fetched again": (rasp.Aggregate(rasp.Select(INDICES, INDICES, lambda k, q: k == q - 1), NEXT), {0, 1, 2}, 4),
    "many places": (rasp.SequenceMap(lambda x, y: (x + y) % 3, TOKENS, NEXT), {0, 1, 2}, 20),
}

ANSWERS = {  # to the fourth string
    "the end compared": [1, -1, -1],
    "the end mapped": [-2, -2, -2, -3, -2],
    "two ends": [3, 1, 3, 3, 0, 3],
    "in a chain": [2, 1, 2, 0],
    "fetched again": [2, 1, 2, 2],
    "many places": [1, 1, 0, 0, 2, 1, 0, 1, 0, 2, 1, 1, 2, 0, 1, 2, 2, 0, 2, 0],
}


def tracrs_answers(program: Any, vocab: set[Any], longest: int, strings: list[Sequence[Any]]) -> list[list[Any]]:
    """One string at a time, as its `apply` does; numbered as by compile_rasp, since its ties depend on the numbers."""
    theirs = compile_with_tracr(_numbered(program)[0], vocab, longest)
    run = jax.jit(theirs.forward)
    encoder, decoder = theirs.input_encoder, theirs.output_encoder
    assert encoder is not None and decoder is not None
    ids = [np.array([encoder.encode([BOS, *string])]) for string in strings]
    return [decoder.decode(np.asarray(run(theirs.params, one).unembedded_output)[0].tolist())[1:] for one in ids]


def where_there_is_a_value(says: Sequence[Sequence[Any]], answers: Sequence[Sequence[Any]]) -> list[Any]:
    """The answers at the positions at which a program says something."""
    both = itertools.chain.from_iterable(zip(*of, strict=True) for of in zip(says, answers, strict=True))
    return [answer for value, answer in both if value is not None]


def fast_answers(model: TracrTransformer, strings: list[Sequence[Any]]) -> list[list[Any]]:
    """By `answer_logits`, of all strings of a length at once."""
    ids = torch.tensor([model.encode([BOS, *string]) for string in strings])
    with torch.no_grad():
        logits = torch.stack([model.answer_logits(ids, i) for i in range(1, ids.shape[1])], 1)
    outputs = model.config.outputs
    if outputs is None:
        return logits[..., 0].tolist()
    return [[outputs[i] for i in classes] for classes in logits.argmax(-1).tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_VALUES)
def test_where_the_program_has_no_value_all_give_one_answer(name: str) -> None:
    program, vocab, longest = WITHOUT_VALUES[name]
    model = compile_rasp(program, vocab, longest)
    tokens = sorted(vocab)
    drawn = np.random.default_rng(0).integers(len(tokens), size=(20, longest))
    strings: list[Sequence[Any]] = [*drawn.tolist(), [0] * longest, [1] * longest]
    found = [model.apply([BOS, *string]).decoded[1:] for string in strings]
    assert found[3] == ANSWERS[name]
    assert fast_answers(model, strings) == found
    one = strings[3]  # not only in a batch
    assert fast_answers(model, [one]) == [found[3]]
    says = [program(list(string)) for string in strings]
    assert any(None in values for values in says)
    assert where_there_is_a_value(says, found) == where_there_is_a_value(says, says)
    expected = tracrs_answers(program, vocab, longest, strings)
    assert where_there_is_a_value(says, found) == where_there_is_a_value(says, expected)


def test_a_tie_takes_the_first_class_whatever_the_batch_the_gradients_and_the_precision() -> None:
    program, vocab, longest = WITHOUT_VALUES["the end compared"]
    model = compile_rasp(program, vocab, longest)
    strings = [*itertools.product(sorted(vocab), repeat=longest)]
    ids = torch.tensor([model.encode([BOS, *string]) for string in strings])
    assert (model.answer_logits(ids, longest).argmax(-1) == 0).all()
    assert (model.double().answer_logits(ids, longest).argmax(-1) == 0).all()
    logits = model.float().answer_logits(ids, longest)
    assert logits.requires_grad
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_rows_with_a_value_are_left_to_the_bit() -> None:
    program = rasp.SelectorWidth(rasp.Select(TOKENS, TOKENS, EQ))
    model = compile_rasp(program, {"a", "b"}, 5)
    ids = torch.tensor([model.encode([BOS, *string]) for string in itertools.product("ab", repeat=5)])
    for position in range(1, 6):
        whole = model(ids)[:, position]
        assert (whole.amax(-1) > 0.5).all()
        assert torch.allclose(model.answer_logits(ids, position), whole, atol=1e-5)
        for string, row in zip(ids, model.answer_logits(ids, position), strict=True):
            assert torch.allclose(model.answer_logits(string[None], position)[0], row, atol=1e-5)


@seed(17)
@settings(
    max_examples=1000 if THOROUGH else 2,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
)
@given(rasp_programs())
def test_random_programs_answer_as_tracrs_models(program: RaspProgram) -> None:
    """With values and without; and none of them makes compile_rasp warn (warnings are errors in these tests)."""
    built, longest = build(program), program.max_seq_len
    every = [*itertools.product(program.vocab, repeat=longest)]
    without = [string for string in every if None in interpret(program, string)]
    strings: list[Sequence[Any]] = [*every[:: len(every) // 8], *without[:8]]
    model = compile_rasp(built, program.vocab, longest)
    expected = tracrs_answers(built, set(program.vocab), longest, strings)
    found = [model.apply([BOS, *string]).decoded[1:] for string in strings]
    fast = fast_answers(model, strings)
    if model.config.outputs is None:
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(fast, expected, atol=1e-3)
    else:
        says = [interpret(program, string) for string in strings]
        assert fast == found
        assert where_there_is_a_value(says, found) == where_there_is_a_value(says, expected)
    COUNTS.append(sum(value is None for string in strings for value in interpret(program, string)))
    if len(COUNTS) % 15 == 0:
        jax.clear_caches()  # 40 MB a program
    if THOROUGH:
        print(f"{len(COUNTS)} programs, {sum(COUNTS)} positions without a value")


COUNTS: list[int] = []
