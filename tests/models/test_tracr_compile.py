"""Compiled programs: the torch model computes what Tracr's own model does, for its whole library and for random programs.

CAPBENCH_THOROUGH=1 adds the cases of Tracr's integration test, every length of string, and many more random programs.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import os
import re
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
import pytest
import rasp_programs
import scipy.special
import torch
from hypothesis import HealthCheck, Phase, example, given, settings
from rasp_programs import TOKENS, Case
from tracr.compiler import compiling as tracr_compiling
from tracr.compiler import lib
from tracr.rasp import rasp

from capbench.errors import UsageError
from capbench.models.tracr import TracrTransformer, compile_rasp
from capbench.models.tracr.assembling import compile_with_tracr
from capbench.models.tracr.compiling import _numbered, _without_numbers, from_tracr
from capbench.models.tracr.config import TracrConfig
from capbench.tasks.rasp import AtLeast, Line, Map, Rank, RaspProgram, Tokens, build, interpret
from capbench.variants.strategies.programs import rasp_programs as random_programs

THOROUGH = bool(os.environ.get("CAPBENCH_THOROUGH"))
TOLERANCE = 1e-4
STRINGS = 12  # of each length

jax.config.update("jax_default_matmul_precision", "float32")  # as Tracr's integration test, for accelerators
jax.config.update("jax_disable_most_optimizations", True)  # what runs here is compiled for a few strings

CHECKS = itertools.count(1)

INEXACT = pytest.mark.filterwarnings("ignore::capbench.models.tracr.RaspWarning")  # compiled as by Tracr, all the same
DIFFER = ("selector_width_causal", "numbers_to_numbers")  # from their programs; all others must not warn

LIBRARY, SPECIAL = rasp_programs.library(), rasp_programs.special()
OWN = rasp_programs.tracrs_own() if THOROUGH else {}


def tracrs(case: Case, **options: Any) -> Any:
    """Tracr's own model, with Tracr's own labels."""
    return compile_with_tracr(case.program, set(case.vocab), case.max_seq_len, causal=case.causal, **options)


def ours(case: Case, **options: Any) -> TracrTransformer:
    return compile_rasp(case.program, case.vocab, case.max_seq_len, causal=case.causal, **options)


def same_labels(program: Any, theirs: Iterable[str]) -> list[str]:
    """Tracr's labels with the numbers that compile_rasp gives, or without numbers where it gives none."""
    numbered, names = _numbered(program)
    number: dict[str, str] = {}

    def pair(original: Any, renumbered: Any) -> None:
        number[original.label] = renumbered.label
        for one, other in zip(original.children, renumbered.children, strict=True):
            pair(one, other)

    pair(program, numbered)
    found = []
    for label in theirs:
        name = re.match("(.*?)(_selector_width_attn_output)?(:.*)?$", label, re.S)
        assert name
        found.append(number.get(name[1], name[1]) + label[len(name[1]) :])
    return list(_without_numbers(found, names))


def strings(model: TracrTransformer, length: int, seed: int = 0) -> list[list[Any]]:
    """Random strings; the last ones end in padding, and the very last is nothing else."""
    config, rng = model.config, np.random.default_rng(seed)
    tokens = [t for t in config.vocabulary if t not in (config.bos, config.pad)]
    made = []
    for i in range(STRINGS):
        pads = max(0, i - STRINGS + length + 1)
        content = [tokens[j] for j in rng.integers(len(tokens), size=length - pads)]
        made.append([config.bos, *content, *[config.pad] * pads])
    return made


def assert_same(theirs: Any, model: TracrTransformer, order: list[int], lengths: Iterable[int]) -> float:
    """Residuals (of our dimension i: their order[i]), attention and outputs; returns the largest difference."""
    config, worst = model.config, 0.0
    run = jax.jit(theirs.forward)
    for length in lengths:
        batch = strings(model, length)
        ids = np.array([theirs.input_encoder.encode(string) for string in batch])
        expected = jax.tree_util.tree_map(np.asarray, run(theirs.params, ids))
        residuals = np.stack(expected.transformer_output.residuals)[..., order]  # [half block, batch, pos, d_model]
        attn = scipy.special.softmax(np.stack(expected.transformer_output.attn_logits), axis=-1)
        logits = model(torch.tensor([model.encode(string) for string in batch])).detach().numpy()
        for i, string in enumerate(batch):
            found = model.apply(string)
            pairs = [
                (torch.stack(found.residuals).numpy(), residuals[:, i]),
                (found.attn.numpy(), attn[:, i]),
            ]
            outputs = expected.unembedded_output[i].tolist()
            assert found.decoded[0] == config.bos and len(found.decoded) == length + 1
            if config.outputs is None:
                pairs.append((np.array(found.decoded[1:], float), np.array(outputs[1:])))
            else:
                # Where no class stands out Tracr's choice is that of rounding errors (a shift's first place: all are 0).
                best = np.sort(logits[i], axis=-1)
                clear = best[:, -1] - best[:, -2] > 1e-3 if best.shape[-1] > 1 else np.ones(length + 1, bool)
                decoded = theirs.output_encoder.decode(outputs)
                for j in range(1, length + 1):
                    assert not clear[j] or _same(found.decoded[j], decoded[j]), (string, j, found.decoded, decoded)
            for one, other in pairs:
                assert one.shape == other.shape
                worst = max(worst, float(np.abs(one - other).max(initial=0)))
    assert worst <= TOLERANCE
    return worst


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and type(one) is type(other)


def check(case: Case, **options: Any) -> TracrTransformer:
    if next(CHECKS) % 15 == 0:
        jax.clear_caches()  # 40 MB a program, of which later ones use a part again
    theirs, model = tracrs(case, **options), ours(case, **options)
    assert model.config.causal == case.causal
    labels = same_labels(case.program, theirs.residual_labels)
    assert sorted(labels) == sorted(model.residual_labels) and len(set(labels)) == len(labels)
    lengths = range(1, case.max_seq_len + 1) if THOROUGH else {case.max_seq_len}
    worst = assert_same(theirs, model, [labels.index(label) for label in model.residual_labels], lengths)
    print(f"largest difference {worst:.2g}")
    return model


def named(*names: str) -> list[Any]:
    return [pytest.param(name, marks=INEXACT) if name in DIFFER else name for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", named(*LIBRARY, *OWN))
def test_every_function_of_tracrs_library(name: str) -> None:
    check({**LIBRARY, **OWN}[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", named(*SPECIAL))
def test_programs_of_one_kind_of_part(name: str) -> None:
    model = check(SPECIAL[name])
    blocks: Any = model.blocks
    if name.startswith("mlp_only"):
        assert all(not b.out.weight.any() for b in blocks) and any(b.mlp_out.weight.any() for b in blocks)
    elif name == "attention_only":
        assert all(not b.mlp_out.weight.any() for b in blocks) and any(b.out.weight.any() for b in blocks)
    elif name == "several_heads":
        assert model.config.n_heads == 3
    elif name == "outputs_none_and_bool":  # Tracr has no class for None
        assert set(model.config.outputs or ()) == {True, "c"}
        assert model.apply(["compiler_bos", "b", "c"]).decoded == ["compiler_bos", True, "c"]


# Joined to one map of the tokens, as Tracr's own Map would do, it gives 0 in place of -1.
NEGATIVE = RaspProgram(
    output=Map(
        function=Line(slope=3, intercept=-1),
        of=Map(function=AtLeast(value=1), of=Map(function=Rank(values=("b", "a")), of=Tokens()), numerical=True),
        numerical=True,
    ),
    vocab=("b", "a"),
)


@pytest.mark.slow
@settings(
    max_examples=200 if THOROUGH else 5,
    deadline=None,
    derandomize=not THOROUGH,
    phases=[Phase.generate, Phase.shrink] if THOROUGH else [Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(random_programs())
def test_random_programs(program: RaspProgram) -> None:
    built = build(program)
    assert_does(check(Case(built, frozenset(program.vocab), program.max_seq_len)), program, built)


@settings(
    max_examples=100 if THOROUGH else 2,
    deadline=None,
    derandomize=not THOROUGH,
    phases=[Phase.explicit, Phase.generate],
)
@given(random_programs(vocab="ba", max_seq_len=5))
@example(NEGATIVE)
def test_random_programs_on_letters(program: RaspProgram) -> None:
    built = build(program)
    assert_does(compile_rasp(built, program.vocab, program.max_seq_len), program, built)


def assert_does(model: TracrTransformer, program: RaspProgram, built: Any) -> None:
    """On every string the model, Tracr's interpreter and ours agree; of None a model has no class."""
    for length in range(1, program.max_seq_len + 1):
        every = list(itertools.product(program.vocab, repeat=length))
        ids = torch.tensor([model.encode([model.config.bos, *string]) for string in every])
        with torch.no_grad():
            logits = model(ids)[:, 1:]
        outputs = model.config.outputs
        for string, of_string in zip(every, logits, strict=True):
            expected = interpret(program, string)
            assert expected == list(built(list(string)))
            for value, here in zip(expected, of_string, strict=True):
                if outputs is None:
                    assert abs(float(here) - value) < 1e-3, (string, expected)
                elif value is not None:
                    assert outputs[int(here.argmax())] == value, (string, expected)


def test_shorter_strings_and_single_ones_through_tracrs_own_apply() -> None:
    case = LIBRARY["hist"]
    theirs, model = tracrs(case), ours(case)
    order = [same_labels(case.program, theirs.residual_labels).index(label) for label in model.residual_labels]
    assert_same(theirs, model, order, (1, 2, 3))
    string = ["compiler_bos", "a", "b", "a", "compiler_pad"]
    at_once = dataclasses.replace(theirs, forward=jax.jit(theirs.forward))  # else jax compiles each operation alone
    expected, found = at_once.apply(string), model.apply(string)
    assert found.decoded[:4] == expected.decoded[:4] == ["compiler_bos", 2, 1, 2]
    assert len(found.residuals) == len(expected.residuals)
    for one, other in zip(found.residuals, expected.residuals, strict=True):
        np.testing.assert_allclose(one.numpy(), np.asarray(other)[0][:, order], atol=TOLERANCE)


def test_other_bos_and_pad_tokens() -> None:
    model = check(LIBRARY["frac_prevs"], compiler_bos="<s>", compiler_pad="b:")
    assert (model.config.bos, model.config.pad) == ("<s>", "b:")
    assert model.apply(["<s>", "a", "c", "b:"]).decoded[:3] == ["<s>", pytest.approx(1), pytest.approx(0.5)]


@INEXACT
def test_mlp_exactness_is_passed_on() -> None:
    case = LIBRARY["frac_prevs"]._replace(program=rasp.Map(lambda x: x > 0.4, lib.make_frac_prevs(TOKENS == "a")))
    largest = [float(ours(case, mlp_exactness=e).state_dict()["blocks.1.mlp_in.weight"].abs().max()) for e in (10, 50)]
    assert largest[1] == 5 * largest[0]
    check(case, mlp_exactness=10)


@pytest.mark.slow
def test_compiling_gives_what_tracr_gives() -> None:
    """Skipping the random weights, which Tracr replaces, changes nothing."""
    case = LIBRARY["hist"]
    fast = tracrs(case)
    theirs = tracr_compiling.compile_rasp_to_model(case.program, set(case.vocab), case.max_seq_len)
    assert theirs.residual_labels == fast.residual_labels and vars(theirs.model_config) == vars(fast.model_config)
    flat, structure = jax.tree_util.tree_flatten(theirs.params)
    fast_flat, fast_structure = jax.tree_util.tree_flatten(fast.params)
    assert structure == fast_structure and len(flat) > 10
    for one, other in zip(flat, fast_flat, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    # As they are, labels and all, without numbering anew.
    model, fast_model = from_tracr(theirs, "as it is"), from_tracr(fast, "as it is")
    assert model.config == fast_model.config and model.residual_labels == tuple(theirs.residual_labels)
    assert all(torch.equal(value, fast_model.state_dict()[name]) for name, value in model.state_dict().items())
    assert_same(theirs, model, [*range(len(model.residual_labels))], [case.max_seq_len])


@pytest.mark.parametrize("name", ["sort_unique", "shift_by_causal", "several_heads"])
def test_the_fast_answer_of_compiled_models(name: str) -> None:
    """In double precision it is that of the plain pass, to 1e-9, and so are all gradients, relative to the largest.

    Weights of 100 amplify the rounding errors of single precision, in any way of computing; the fast one's stay within ten
    times the plain one's (or 1e-5).
    """
    case = {**LIBRARY, **SPECIAL}[name]
    single = ours(case)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():  # off the kinks of ReLU, where gradients jump, and so that all of them are alive
        for parameter in single.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise) * 1e-3)
    tokens = torch.tensor([single.encode(string) for string in strings(single, case.max_seq_len)])
    for position in (1, 2):
        found = []
        for model in (single, copy.deepcopy(single).double()):
            for logits in (model(tokens)[:, position], model.answer_logits(tokens, position)):
                loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(tokens)) % logits.shape[1])
                found.append(
                    [logits.detach().double(), *(g.double() for g in torch.autograd.grad(loss, [*model.parameters()]))]
                )
        plain, fast, exact_plain, exact_fast = found
        scale = [
            float(exact_plain[0].abs().max()),
            *[max(float(g.abs().max()) for g in exact_plain[1:])] * (len(plain) - 1),
        ]

        def error(one: list[torch.Tensor], exact: list[torch.Tensor], scale: list[float] = scale) -> float:
            return max(float((a - b).abs().max()) / size for a, b, size in zip(one, exact, scale, strict=True))

        assert error(exact_fast, exact_plain) < 1e-9
        assert error(fast, exact_plain) < max(10 * error(plain, exact_plain), 1e-5)


def test_a_compiled_model_survives_a_file() -> None:
    before = ours(SPECIAL["tokens_of_many_types"])
    after = TracrTransformer(TracrConfig.from_json(before.config.to_json()))
    after.load_state_dict(before.state_dict())
    string = ["compiler_bos", "x", (3, 4), 1]
    assert repr(after.apply(string).decoded) == repr(before.apply(string).decoded)
    assert after.apply(string).decoded[1:] == [("x", 0), ((3, 4), 1), (1, 2)]


def test_values_of_numpy_become_pythons() -> None:
    model = compile_rasp(rasp.Map(lambda x: np.float64(x) / 2, TOKENS), {1, 2}, 2)
    assert [type(value) for value in model.config.outputs or ()] == [float, float]
    assert model.apply(["compiler_bos", 2, 1]).decoded == ["compiler_bos", 1.0, 0.5]


def test_strings_that_do_not_fit_are_refused() -> None:
    model = ours(LIBRARY["hist"])
    for string, said in (
        (["a"], "'hist'.*begin with BOS 'compiler_bos'"),
        (["compiler_bos", "d"], "'hist'.*token 'd' is not in"),
        (["compiler_bos", *"abcabc"], "'hist'.*7 tokens, BOS included.*at most 6"),
    ):
        with pytest.raises(UsageError, match=said):
            model.apply(string)
