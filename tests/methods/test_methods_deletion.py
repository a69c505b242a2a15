"""Methods that are meant to delete: what all of them owe, their losses by hand, and what they do to a model that knows."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from hand_made import SYMBOLS, Linear, Repeat
from hypothesis import given, settings
from hypothesis import strategies as st
from questions import COUNTING, LETTERS, O_FT, O_PT, OTHER, TASK, gpt, pretrained, tracr
from torch import Tensor

from capbench.configs import TrainConfig
from capbench.errors import MethodError
from capbench.measure.accuracy import accuracy, sample
from capbench.methods.deletion.grad_diff import grad_diff
from capbench.methods.deletion.gradient_ascent import gradient_ascent
from capbench.methods.deletion.npo import npo, npo_loss
from capbench.methods.deletion.randft import randft, wrong_answers
from capbench.methods.deletion.rmu import layer_of, residual, rmu, steered_to
from capbench.methods.deletion.simnpo import simnpo, simnpo_loss
from capbench.methods.deletion.wrapper_surgery import wrapper_surgery
from capbench.methods.streams import answer_log_probabilities, beside, generator, kept
from capbench.models.base import Model
from capbench.pipeline.budget import counting
from capbench.tasks.base import IGNORE, Batch
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import batches, fit, next_token_loss, observing

METHODS = (gradient_ascent, grad_diff, npo, simnpo, rmu, randft, wrapper_surgery)
BY_HAND = {"optimizer": "sgd", "momentum": 0.0, "warmup": 0.0, "final_lr": 1.0}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": 4, "batch_size": 16, "lr": 1e-2, "seed": 0, **changes})


def changed(before: Model, after: Model) -> set[str]:
    left, right = before.state_dict(), after.state_dict()
    assert left.keys() == right.keys()
    return {name for name in left if not torch.equal(left[name], right[name])}


def named(method: Any) -> str:
    return getattr(method, "__name__", str(method))


@dataclass(frozen=True, kw_only=True)
class Symbols(Repeat):
    """Only these symbols, each as often."""

    symbols: tuple[int, ...]

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        return self.batch([self.symbols[i % len(self.symbols)] for i in range(n)])


def parted(forget: Sequence[int], target: Sequence[int], others: Sequence[int] = ()) -> FineTuningTask:
    """Repeat these symbols, forget those: of a linear model each concerns a column of its own."""
    tasks = [Symbols(symbols=tuple(symbols)) if symbols else None for symbols in (target, forget, others)]
    assert tasks[0] and tasks[1]
    return FineTuningTask(target=tasks[0], retain=tasks[0], forget=tasks[1], others=tasks[2])


# ---- what every method owes


@pytest.mark.parametrize("make, task", [(gpt, TASK), (tracr, COUNTING)], ids=["gpt", "tracr"])
@pytest.mark.parametrize("method", METHODS, ids=named)
def test_a_method_trains_a_copy_for_just_the_steps_given_and_can_be_repeated(method: Any, make: Any, task: Any) -> None:
    given_model, state = make().requires_grad_(False), torch.random.get_rng_state()
    with counting() as budget:
        tuned = method(given_model, task, config())
    assert budget.steps == 4 and torch.equal(torch.random.get_rng_state(), state)
    assert changed(given_model, make()) == set() and not any(p.requires_grad for p in given_model.parameters())
    assert not tuned.training and all(p.requires_grad and not p._backward_hooks for p in tuned.parameters())
    assert changed(given_model, tuned)
    assert changed(method(make(), task, config()), tuned) == set()
    assert changed(method(make(), task, config(seed=1)), tuned)


# Batches with gradients and without, per step of full fine-tuning's one; strings besides.
@pytest.mark.parametrize(
    "method, trained, passed, trained_besides, passed_besides",
    [
        (gradient_ascent, 1, 0, 0, 0),
        (grad_diff, 2, 0, 0, 0),
        (npo, 2, 1, 0, 0),
        (simnpo, 2, 0, 0, 0),
        (rmu, 3, 1, 0, 16),
        (randft, 2, 0, 0, 0),
        (wrapper_surgery, 1, 0, 1024, 16 * 512),
    ],
    ids=named,
)
def test_a_method_costs_what_it_says(
    method: Any, trained: int, passed: int, trained_besides: int, passed_besides: int
) -> None:
    with counting() as budget:
        method(gpt(), TASK, config())
    assert budget.tokens == (4 * 16 * trained + trained_besides) * O_PT.seq_len
    assert budget.forward_tokens == (4 * 16 * passed + passed_besides) * O_PT.seq_len


@pytest.mark.parametrize("method", METHODS, ids=named)
def test_no_steps_cost_nothing_but_surgery(method: Any) -> None:
    tuned = method(gpt(), TASK, config(steps=0))
    assert (changed(gpt(), tuned) == set()) == (method is not wrapper_surgery)


@pytest.mark.parametrize(
    "method, options, said",
    [
        (npo, {"beta": 0}, "beta=0 "),
        (npo, {"beta": "much"}, "beta='much'"),
        (npo, {"weight": -1.0}, "weight=-1.0"),
        (simnpo, {"gamma": -0.5}, "gamma=-0.5"),
        (simnpo, {"beta": math.nan}, "beta=nan"),
        (grad_diff, {"weight": -2}, "weight=-2"),
        (randft, {"weight": 0}, "weight=0"),
        (rmu, {"layer": 2}, "layer=2 .* 0 to 1"),
        (rmu, {"layer": "last"}, "layer='last'"),
        (rmu, {"alpha": 0}, "alpha=0"),
        (wrapper_surgery, {"neurons": 0}, "neurons=0"),
        (wrapper_surgery, {"neurons": 1.5}, "neurons=1.5"),
    ],
)
def test_impossible_options_are_refused_with_the_value(method: Any, options: Any, said: str) -> None:
    with pytest.raises(MethodError, match=said) as error:
        method(gpt(), TASK, config(), **options)
    assert str(error.value).startswith(method.__name__.replace("_", "-")) and "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=named)
def test_o_pt_goes_from_a_model_that_knew_it(method: Any) -> None:
    """O_FT is learnt and the other family kept by all but gradient ascent, which does nothing for them."""

    def accuracies(model: Model) -> list[float]:
        return [accuracy(model, task, sample(task, 256, 5)) for task in (O_PT, O_FT, OTHER)]

    before = accuracies(pretrained())
    assert before[0] > 0.98 and before[1] < 0.2 and before[2] > 0.98
    forgotten, learnt, others = accuracies(method(pretrained(), TASK, config(steps=120, batch_size=64)))
    assert forgotten < 0.35
    assert method is gradient_ascent or (learnt > 0.7 and others > 0.9)


# ---- streams


def test_what_is_kept_is_the_target_and_as_much_of_the_others() -> None:
    tokens = kept(TASK).sample(2000, torch.Generator().manual_seed(0)).tokens
    questions = torch.bincount(tokens[:, 0] - LETTERS, minlength=3).tolist()
    assert questions[0] == 0 and abs(questions[1] - 1000) < 100 and sum(questions) == 2000
    assert kept(COUNTING) is COUNTING.target


def test_streams_beside_the_training_are_repeatable_and_not_its_own() -> None:
    drawn = [
        torch.cat([batch.tokens for batch in stream])
        for stream in (beside(O_PT, config()), beside(O_PT, config(), 2), batches(O_PT, config()))
    ]
    again = torch.cat([batch.tokens for batch in beside(O_PT, config())])
    assert torch.equal(drawn[0], again) and all(len(tokens) >= 4 * 16 for tokens in drawn)
    assert not any(torch.equal(drawn[i], drawn[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_the_log_probability_is_that_of_the_right_answer() -> None:
    model = Linear(torch.tensor([[0.0, 0.0], [math.log(3), 0.0]]))  # symbol 0: 1/4, 3/4; symbol 1: 1/2, 1/2
    tokens = torch.tensor([[0, 0, 0], [0, 0, 1], [1, 0, 1]])
    batch = Batch(tokens, torch.tensor([[IGNORE, answer, IGNORE] for answer in (0, 1, 1)]))
    found = answer_log_probabilities(model, batch, Repeat()).exp()
    assert found.tolist() == pytest.approx([1 / 4, 3 / 4, 1 / 2])


# ---- gradient ascent and difference


def test_gradient_ascent_raises_a_convex_loss_at_every_step() -> None:
    task = replace(parted([1, 2, 3], [4]), target=None, retain=None)  # type: ignore[arg-type]  # neither is touched
    strings = task.forget.sample(6, torch.Generator())
    start, losses = Linear(torch.eye(SYMBOLS)), []

    def record(step: int, model: Model) -> bool:
        losses.append(next_token_loss(model, strings, task.forget).item())
        return False

    record(0, start)
    with observing(record):
        gradient_ascent(start, task, config(steps=20, batch_size=6, lr=0.1, **BY_HAND))
    assert len(losses) == 21 and all(later > earlier for earlier, later in itertools.pairwise(losses))


def test_a_step_of_gradient_ascent_is_that_of_minus_the_loss() -> None:
    down = copy.deepcopy(start := Linear(torch.eye(SYMBOLS)))
    task, by_hand = parted([1, 2], [4]), config(steps=1, lr=0.1, grad_clip=1e9, **BY_HAND)
    up = gradient_ascent(start, task, by_hand)
    fit(down, task.forget, by_hand)
    torch.testing.assert_close(up.state_dict()["map.weight"] + down.map.weight, 2 * start.map.weight)


def test_gradient_difference_without_the_difference_is_training_on_what_is_kept() -> None:
    fit(plain := gpt(), kept(TASK), config())
    assert changed(grad_diff(gpt(), TASK, config(), weight=0), plain) == set()
    assert changed(grad_diff(gpt(), TASK, config(), weight=0.5), plain)


def test_a_step_of_gradient_difference_by_hand() -> None:
    """Columns of a linear model: the target's goes down its loss, the forgotten one's up, the others' stay."""
    start = Linear(torch.zeros(SYMBOLS, SYMBOLS))
    tuned = grad_diff(start, parted([1], [2]), config(steps=1, lr=0.8, grad_clip=1e9, **BY_HAND), weight=0.5)
    expected = torch.zeros(SYMBOLS, SYMBOLS)
    expected[:, 2] = -0.8 / 8  # logits 0: softmax 1/8 each, minus one for the answer
    expected[2, 2] += 0.8
    expected[:, 1] = 0.5 * 0.8 / 8
    expected[1, 1] -= 0.5 * 0.8
    torch.testing.assert_close(tuned.state_dict()["map.weight"], expected)


# ---- NPO and SimNPO


def log(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities).log().requires_grad_(True)


@pytest.mark.parametrize(
    "now, before, beta, value",
    [
        ([0.3], [0.3], 0.1, 20 * math.log(2)),  # sigmoid(0) = 1/2
        ([0.2], [0.8], 1.0, -2 * math.log(4 / 5)),  # sigmoid(log 4)
        ([0.2], [0.8], 0.5, -4 * math.log(2 / 3)),  # sigmoid(log 2)
        ([0.2, 0.3], [0.8, 0.3], 1.0, -math.log(4 / 5) + math.log(2)),  # the mean of two
    ],
)
def test_the_npo_loss_by_hand(now: list[float], before: list[float], beta: float, value: float) -> None:
    assert npo_loss(log(*now), log(*before), beta=beta).item() == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    "now, options, value",
    [
        ([0.5], {"beta": 1.0, "gamma": 0.0}, -2 * math.log(2 / 3)),  # sigmoid(log 2)
        ([0.5], {"beta": 1.0, "gamma": math.log(2)}, 2 * math.log(2)),  # sigmoid(0)
        ([0.5], {"beta": 2.0, "gamma": 0.0}, -math.log(4 / 5)),
        ([0.25], {"beta": 2.0, "gamma": 0.0, "length": 2}, -math.log(4 / 5)),  # a quarter over two tokens: a half each
        ([0.5, 1.0], {"beta": 1.0, "gamma": 0.0}, -math.log(2 / 3) + math.log(2)),
    ],
)
def test_the_simnpo_loss_by_hand(now: list[float], options: Any, value: float) -> None:
    assert simnpo_loss(log(*now), **options).item() == pytest.approx(value, rel=1e-5)


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss, of)
    return found


@given(st.lists(st.floats(-6, 0), min_size=1, max_size=5), st.floats(0.05, 5))
@settings(max_examples=25, deadline=None)
def test_at_the_reference_npo_is_gradient_ascent(values: list[float], beta: float) -> None:
    now = torch.tensor(values, requires_grad=True)
    torch.testing.assert_close(gradient(npo_loss(now, now.detach(), beta=beta), now), gradient(now.mean(), now))


@given(st.floats(-6, 0), st.floats(-6, 0), st.floats(0.05, 5))
@settings(max_examples=25, deadline=None)
def test_npo_fades_as_the_answer_becomes_less_likely(now: float, before: float, beta: float) -> None:
    """Its gradient is 2 p^beta / (p^beta + p_before^beta) times that of gradient ascent, the paper's weight."""
    x, p, q = torch.tensor([now], requires_grad=True), math.exp(now), math.exp(before)
    found = gradient(npo_loss(x, torch.tensor([before]), beta=beta), x).item()
    assert found == pytest.approx(2 * p**beta / (p**beta + q**beta), rel=1e-3, abs=1e-5)
    simple = gradient(simnpo_loss(x, beta=beta, gamma=0.0), x).item()
    assert simple == pytest.approx(2 * p**beta / (p**beta + 1), rel=1e-3, abs=1e-5)


def test_the_first_step_of_npo_is_one_of_gradient_difference_and_the_third_is_not() -> None:
    """Its reference is the model given."""

    def apart(steps: int) -> float:
        by_hand = config(steps=steps, lr=0.5, **BY_HAND)
        one, other = npo(pretrained(), TASK, by_hand, beta=1.0), grad_diff(pretrained(), TASK, by_hand)
        pairs = zip(one.parameters(), other.parameters(), strict=True)
        return max((a - b).abs().max().item() for a, b in pairs)

    assert apart(1) < 1e-6 < 1e-3 < apart(3)


# ---- RMU


def test_rmu_steers_what_is_forgotten_to_the_vector_and_keeps_the_rest() -> None:
    """The activations of symbols are the columns of this model's only matrix."""
    start = Linear(torch.full((SYMBOLS, SYMBOLS), -1.0) + 6 * torch.eye(SYMBOLS))
    tuned = rmu(
        start,
        parted([1], [2], [3]),
        config(steps=300, lr=0.3, weight_decay=0.0, warmup=0.0),
        layer=1,
        steering=2.0,
        alpha=10.0,
    )
    before, after = start.map.weight.detach().T, tuned.state_dict()["map.weight"].T
    vector = steered_to(before[1].expand(16, 3, -1), 2.0, generator(config(), 4))
    assert vector.norm().item() == pytest.approx(2 * before[1].norm().item()) and (vector > 0).all()
    torch.testing.assert_close(after[1], vector, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(after[3], before[3], atol=5e-2, rtol=0.0)
    assert torch.equal(after[4:], before[4:])


@pytest.mark.parametrize("layer", [None, 1])
def test_rmu_does_the_same_in_a_transformer(layer: int | None) -> None:
    at = layer_of(layer, 2)
    tuned = rmu(pretrained(), TASK, config(steps=60), layer=layer)
    forget, others = (sample(task, 128, 3) for task in (O_PT, OTHER))
    seen = O_PT.sample(16, generator(config(), 3))
    with torch.no_grad():
        vector = steered_to(residual(pretrained(), seen, at), 3.0, generator(config(), 4))
        was, now = (residual(model, forget, at) for model in (pretrained(), tuned))
        stayed, gone = ((residual(m, others, at) - residual(pretrained(), others, at)).norm() for m in (tuned, gpt()))
    assert (now - vector).norm() < 0.6 * (was - vector).norm()
    assert stayed < 0.5 * gone


def test_the_middle_layer_is_taken_where_none_is_given() -> None:
    assert [layer_of(None, blocks + 1) for blocks in (1, 2, 3, 6)] == [1, 1, 2, 3]


# ---- random labels


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 100))
@settings(max_examples=50, deadline=None)
def test_a_wrong_answer_is_that_of_another_string_and_never_the_right_one(answers: list[int], seed: int) -> None:
    wrong = wrong_answers(torch.tensor(answers), torch.Generator().manual_seed(seed)).tolist()
    if len(set(answers)) == 1:
        assert wrong == [IGNORE] * len(answers)
    else:
        assert all(w in answers and w != right for w, right in zip(wrong, answers, strict=True))


def test_wrong_answers_are_as_frequent_as_the_strings_that_have_them() -> None:
    answers = torch.tensor([0, 0, 0, 1, 2]).repeat(200)
    wrong = wrong_answers(answers, torch.Generator().manual_seed(0))
    shares = {right: torch.bincount(wrong[answers == right], minlength=3).div(200) for right in (0, 1, 2)}
    assert shares[0].div(3).tolist() == pytest.approx([0, 1 / 2, 1 / 2], abs=0.08)
    assert shares[1].tolist() == pytest.approx([3 / 4, 0, 1 / 4], abs=0.1)
    assert shares[2].tolist() == pytest.approx([3 / 4, 1 / 4, 0], abs=0.1)


def test_a_batch_without_a_wrong_answer_teaches_nothing() -> None:
    start, task = Linear(torch.eye(SYMBOLS)), parted([1], [2])
    fit(plain := copy.deepcopy(start), kept(task), config())
    assert changed(randft(start, task, config()), plain) == set()
    assert changed(randft(start, parted([1, 3], [2]), config()), plain)


def test_a_methods_generator_draws_other_strings_than_its_training() -> None:
    """One draw of a training is 16 batches: a method's own sample of as many must be none of the first ones."""
    own = config(steps=16 * 4)
    task = Repeat()
    seen = [batch.tokens for batch in batches(task, own)]
    for stream in (1, 2, 3):
        drawn = task.sample(16 * own.batch_size, generator(own, stream)).tokens
        assert not any(torch.equal(drawn, torch.cat(seen[i : i + 16])) for i in range(0, len(seen), 16))
