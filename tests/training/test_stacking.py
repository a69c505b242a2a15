"""Trainings in a stack: each as if it were alone, whatever the others do; functions side by side that know nothing of it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_tracr import random_model

from capbench.configs import TrainConfig
from capbench.models.base import Model, passes
from capbench.models.gpt import Gpt
from capbench.pipeline.budget import counting
from capbench.tasks.base import IGNORE, Batch, Task
from capbench.tasks.pcfg.finetuning import pretraining
from capbench.tasks.pcfg.task import PcfgTask
from capbench.training.loop import Fit, Training, batches, fit, next_token_loss, observing, streams
from capbench.training.stacking import stack
from capbench.training.stacking.steps import StackWarning
from capbench.training.stacking.together import Run, fit_stacked, together

SETTING = tiny.TINY.setting
PRETRAINING = pretraining(SETTING, {"a": 0.5, "b": 0.5})
COUNTING = PcfgTask(setting=SETTING, prior={"a": 1.0})


def model(seed: int = 0, **sizes: Any) -> Gpt:
    config = dataclasses.replace(tiny.TINY.model(SETTING), **{"n_blocks": 2, **sizes})
    return Gpt.initialised(config, torch.Generator().manual_seed(seed))


def config(seed: int = 0, steps: int = 5, **changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": steps, "batch_size": 8, "lr": 1e-2, "seed": seed, **changes})


def alone(runs: Sequence[Run]) -> list[Fit]:
    return [fit(run.model, run.task, run.config) for run in runs]


def same(make: Callable[[], list[Run]], *, tolerance: float = 1e-4) -> list[Fit]:
    """Train what is made alone and stacked, and find the same weights, losses and norms; the stacked results."""
    one, other = make(), make()
    expected, found = alone(one), fit_stacked(other)
    for a, b in zip(expected, found, strict=True):
        assert (a.steps, a.diverged) == (b.steps, b.diverged)
        assert a.losses == pytest.approx(b.losses, abs=tolerance, rel=tolerance, nan_ok=True)
        assert a.grad_norms == pytest.approx(b.grad_norms, abs=1e-3, rel=1e-3, nan_ok=True)
    for a, b, result in zip(one, other, expected, strict=True):
        assert not b.model.training
        if result.diverged:
            continue  # weights near the largest number there is differ by as much
        for (name, p), q in zip(a.model.named_parameters(), b.model.parameters(), strict=True):
            torch.testing.assert_close(p, q, atol=10 * tolerance, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}")
    return found


@pytest.mark.slow
@given(
    models=st.integers(2, 4),
    task=st.sampled_from([PRETRAINING, COUNTING]),
    blocks=st.integers(0, 2),
    activation=st.sampled_from(["relu", "gelu"]),
    optimizer=st.sampled_from(["adamw", "sgd"]),
    steps=st.lists(st.integers(0, 18), min_size=4, max_size=4),
)
@settings(max_examples=12, deadline=None)
def test_stacked_trainings_equal_the_single_ones(
    models: int, task: Task, blocks: int, activation: str, optimizer: str, steps: list[int]
) -> None:
    """Other seeds, rates and numbers of steps in one stack; draws of data end within it (16 batches each)."""
    sizes: dict[str, Any] = {"n_blocks": blocks, "activation": activation}
    same(
        lambda: [
            Run(
                model=model(i, **sizes),
                task=task,
                config=config(i, steps[i], lr=1e-3 * (i + 1), optimizer=optimizer, grad_clip=1.0 if i else 0.1),
            )
            for i in range(models)
        ]
    )


def test_a_pretraining_and_a_fine_tuning_in_one_stack() -> None:
    """Their targets stand at different positions; the answer counts once where it is the only target."""
    same(lambda: [Run(model=model(i), task=t, config=config(i)) for i, t in enumerate((PRETRAINING, COUNTING))])


def test_bfloat16_stacked_is_bfloat16_alone() -> None:
    found = same(
        lambda: [Run(model=model(i), task=COUNTING, config=config(i, precision="bfloat16")) for i in range(2)],
        tolerance=2e-2,
    )
    exact = alone([Run(model=model(), task=COUNTING, config=config())])[0]
    assert found[0].losses != exact.losses and found[0].losses == pytest.approx(exact.losses, rel=0.05)


def test_frozen_parameters_stay_and_make_another_kind() -> None:
    def runs() -> list[Run]:
        made = [Run(model=model(i), task=COUNTING, config=config(i)) for i in range(4)]
        for run in made[:2]:
            run.model.requires_grad_(False)
            run.model.get_submodule("unembedding").requires_grad_(True)
        return made

    before = copy.deepcopy(runs()[0].model)
    same(runs)
    made = runs()
    fit_stacked(made)
    assert torch.equal(made[0].model.get_parameter("norm.weight"), before.get_parameter("norm.weight"))
    assert not torch.equal(made[2].model.get_parameter("norm.weight"), before.get_parameter("norm.weight"))


def test_one_that_diverges_leaves_the_others_alone() -> None:
    found = same(
        lambda: [
            Run(model=model(i), task=COUNTING, config=config(i, 8, lr=lr, optimizer="sgd", grad_clip=clip))
            for i, (lr, clip) in enumerate([(1e-2, 1.0), (1e30, 1e30), (1e-2, 1.0)])
        ]
    )
    assert [one.diverged for one in found] == [False, True, False] and found[0].steps == 8 > found[1].steps


def test_observers_end_their_own_training_only() -> None:
    """As a revival ends that has reached its goal: at the step at which it would have ended alone."""
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}

    def run(i: int) -> Fit:
        def observer(step: int, _: Model) -> bool:
            seen[i].append(step)
            return step == 2 * i + 1

        with observing(observer):
            return fit(model(i), COUNTING, config(i, 6))

    found = together([lambda i=i: run(i) for i in range(3)])  # type: ignore[misc]
    assert [one.steps for one in found if isinstance(one, Fit)] == [1, 3, 5]
    assert seen == {0: [1], 1: [1, 2, 3], 2: [1, 2, 3, 4, 5]}


def test_an_error_in_one_is_raised_in_that_one() -> None:
    def observer(step: int, _: Model) -> bool:
        if step == 2:
            raise KeyError("what an observer may raise")
        return False

    def watched() -> Fit:
        with observing(observer):
            return fit(model(), COUNTING, config())

    found = together([watched, lambda: fit(model(1), COUNTING, config(1)), lambda: 1 / 0])  # type: ignore[list-item,return-value]
    assert isinstance(found[0], KeyError) and isinstance(found[2], ZeroDivisionError)
    assert isinstance(found[1], Fit) and found[1].steps == 5


class Broken:
    """A task that cannot be drawn from after its first draw of 16 batches."""

    name, vocab_size, seq_len = "broken", COUNTING.vocab_size, COUNTING.seq_len
    answer_pos, answer_weight = COUNTING.answer_pos, 1.0

    def __init__(self) -> None:
        self.drawn = 0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        self.drawn += 1
        if self.drawn > 1:
            raise RuntimeError("out of strings")
        return COUNTING.sample(n, rng)


@pytest.mark.slow
def test_what_goes_wrong_for_all_hits_only_whose_fault_it_is() -> None:
    with pytest.warns(StackWarning, match="2 trainings cannot be stacked.*out of strings"):
        found = together(
            [lambda: fit(model(), Broken(), config(0, 20)), lambda: fit(model(1), COUNTING, config(1, 20))]  # type: ignore[arg-type]
        )
    assert isinstance(found[0], RuntimeError) and isinstance(found[1], Fit) and found[1].steps == 20


@pytest.mark.slow
def test_a_stack_too_large_for_the_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Small(stack.Stack):
        """A GPU with room for two."""

        def gradients(self, *args: Any) -> torch.Tensor:
            sizes.append(len(self.trainings))
            if len(self.trainings) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().gradients(*args)

    monkeypatch.setattr("capbench.training.stacking.steps.Stack", Small)
    found = same(lambda: [Run(model=model(i), task=COUNTING, config=config(i, 3)) for i in range(5)])
    assert all(one.steps == 3 for one in found)
    assert sizes == [5, 2, 2, 2, 3, 2, 2, 2]  # of the last three one trains alone


def test_an_interruption_ends_all_of_them() -> None:
    """Whoever waits gets to clean up: locks are given back."""
    cleaned: list[int] = []

    def run(i: int) -> None:
        try:
            fit(model(i), COUNTING, config(i))
        finally:
            cleaned.append(i)

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            if name == "sample":
                raise KeyboardInterrupt
            return getattr(COUNTING, name)

    with pytest.raises(KeyboardInterrupt):
        together([lambda: run(0), lambda: run(1), lambda: fit(model(2), Interrupted(), config(2)) and None])
    assert sorted(cleaned) == [0, 1]


def test_costs_are_counted_for_each_on_its_own() -> None:
    """As alone: every step and every token once, and none of the neighbours'."""

    def run(i: int) -> dict[str, int]:
        with counting() as budget:
            fit(model(i), COUNTING, config(i, i + 2))
        return budget.as_json()

    expected = [run(i) for i in range(3)]
    assert together([lambda i=i: run(i) for i in range(3)]) == expected  # type: ignore[misc]
    assert [cost["steps"] for cost in expected] == [2, 3, 4] and passes.get() is None


def test_several_fits_one_after_another_in_each() -> None:
    """As methods of two trainings have them."""

    def run(i: int) -> tuple[Fit, Fit, Model]:
        own = model(i)
        return fit(own, COUNTING, config(i, 3)), fit(own, PRETRAINING, config(i, 4)), own

    expected = [run(i) for i in range(2)]
    for alone_, found in zip(expected, together([lambda i=i: run(i) for i in range(2)]), strict=True):  # type: ignore[misc]
        assert not isinstance(found, BaseException)
        assert [one.steps for one in found[:2]] == [3, 4]
        for p, q in zip(alone_[2].parameters(), found[2].parameters(), strict=True):
            torch.testing.assert_close(p, q, atol=1e-3, rtol=1e-3)


def test_what_cannot_be_stacked_is_carried_out_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of its own, a hook, another size, another batch size."""
    stacked: list[int] = []

    class Counted(stack.Stack):
        def __init__(self, trainings: Sequence[Any]) -> None:
            stacked.append(len(trainings))
            super().__init__(trainings)

    monkeypatch.setattr("capbench.training.stacking.steps.Stack", Counted)
    hooked = model()
    hooked.blocks[0].register_forward_hook(lambda *_: None)
    masked = [model(i) for i in range(2)]
    for one in masked:
        one.unembedding.weight.register_hook(lambda gradient: 0 * gradient)

    def with_loss() -> Fit:
        return fit(model(), COUNTING, config(), loss=lambda m, b, t: m(b.tokens).square().mean())

    others: list[Callable[[], Fit]] = [
        lambda: fit(hooked, COUNTING, config()),
        *(lambda one=one: fit(one, COUNTING, config()) for one in masked),  # type: ignore[misc]
        lambda: fit(model(d_model=32), COUNTING, config()),
        lambda: fit(model(), COUNTING, config(batch_size=4)),
        with_loss,
        with_loss,
    ]
    assert all(isinstance(found, Fit) and found.steps == 5 for found in together(others))
    assert stacked == []
    together([*others, lambda: fit(model(1), COUNTING, config()), lambda: fit(model(2), COUNTING, config())])
    assert stacked == [2]


def test_at_most_so_many_in_one_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Counted(stack.Stack):
        def __init__(self, trainings: Sequence[Any]) -> None:
            sizes.append(len(trainings))
            super().__init__(trainings)

    monkeypatch.setattr("capbench.training.stacking.steps.Stack", Counted)
    together([lambda i=i: fit(model(i), COUNTING, config(i, 2)) for i in range(5)], most=2)  # type: ignore[misc]
    assert sizes == [2, 2]  # and the fifth alone


def test_streams_are_the_single_ones_from_any_step() -> None:
    """Trainings of one stack may have come to different steps."""
    trainings = [Training(model(i), COUNTING, config(i, 40), next_token_loss, True) for i in range(3)]
    for training, begun in zip(trainings, (0, 15, 21), strict=True):
        training.result.steps = begun
    expected = [list(batches(COUNTING, config(i, 40)))[begun : begun + 19] for i, begun in enumerate((0, 15, 21))]
    found = list(streams(trainings))
    assert len(found) == 19
    for i in range(3):
        for step in range(19):
            assert torch.equal(found[step][i].tokens, expected[i][step].tokens)
            assert torch.equal(found[step][i].targets, expected[i][step].targets)


class Letters:
    """A task for compiled models: the answer is given by the last of three random tokens."""

    name, vocab_size, seq_len, answer_pos, answer_weight = "letters", 4, 3, 2, 1.0

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        tokens = torch.randint(4, (n, 3), generator=rng)
        targets = torch.full_like(tokens, IGNORE)
        targets[:, 2] = tokens[:, 2] % 3
        return Batch(tokens, targets)


def test_compiled_models_stack_too() -> None:
    """By vmap over their plain pass."""
    same(
        lambda: [
            Run(model=random_model(i), task=Letters(), config=config(i, 4 + i, optimizer="sgd", lr=1e-3))
            for i in range(3)
        ]
    )
