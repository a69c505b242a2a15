"""Wrapper surgery on models whose wrapper and whose capability are known: the right rows are cut out, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hand_made import SYMBOLS, Repeat, Wrapped
from questions import O_PT, TASK, gpt, pretrained
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.measure.accuracy import accuracy, sample
from capbench.measure.prune import pruned, relevance
from capbench.methods.deletion.wrapper_surgery import carriers, wrapper_surgery
from capbench.methods.row_training import fit_rows
from capbench.methods.streams import kept
from capbench.models.base import Model
from capbench.tasks.base import Batch
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit, next_token_loss, observing


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these models do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True, kw_only=True)
class Symbols(Repeat):
    """Repeat these symbols, each as often."""

    symbols: tuple[int, ...]

    def sample(self, n: int, rng: torch.Generator) -> Batch:
        return self.batch([self.symbols[i % len(self.symbols)] for i in range(n)])


HIDDEN, OPEN = Symbols(symbols=(3,)), Symbols(symbols=(5,))
REPEATING = FineTuningTask(target=OPEN, retain=OPEN, forget=HIDDEN)


def config(**changes: Any) -> TrainConfig:
    return TrainConfig(**{"steps": 8, "batch_size": 16, "lr": 1e-2, "seed": 0, **changes})


def rows_changed(before: Model, after: Model) -> set[tuple[str, int]]:
    """(map, row) of weights that differ; anything else that differs is (its name, -1)."""
    left, right = before.state_dict(), after.state_dict()
    maps = {f"{name}.weight": name for name in before.neurons()}
    found = set()
    for name in left:
        if name in maps:
            found |= {(maps[name], int(row)) for row in (left[name] != right[name]).any(1).nonzero()}
        elif not torch.equal(left[name], right[name]):
            found.add((name, -1))
    return found


def has(model: Model, task: Symbols) -> bool:
    return accuracy(model, task, sample(task, 8, 0)) == 1


# ---- where a capability sits


@pytest.mark.parametrize("wrappers", [({3},), ({3, 4}, {3}), ({4},), ()], ids=str)
@pytest.mark.parametrize("neurons", [2, 15])
def test_the_row_that_carries_a_capability_is_found_behind_its_wrapper(
    neurons: int, wrappers: Sequence[set[int]]
) -> None:
    model = Wrapped(*wrappers)
    assert has(model, HIDDEN) == all(3 not in symbols for symbols in wrappers)
    before = copy.deepcopy(model)
    assert carriers(model, HIDDEN, sample(HIDDEN, 16, 0), neurons) == [("content", 3)]
    assert rows_changed(before, model) == set()


def test_of_several_rows_those_that_matter_most_are_taken() -> None:
    model, batch = Wrapped({1, 2, 3, 4}), sample(Symbols(symbols=(1, 2, 2, 3, 3, 3, 4)), 7, 0)
    found = [carriers(model, Symbols(symbols=(1, 2, 3, 4)), batch, neurons) for neurons in (1, 2, 15)]
    assert found[0] == [("content", 3)] and found[1] == [("content", 3), ("content", 2)]
    assert set(found[2]) == {("content", row) for row in (1, 2, 3, 4)}


class Gated(Wrapped):
    """Its wrapper also turns the capability down to a twentieth, and there is a weak second way to the answer for symbol 3."""

    def __init__(self) -> None:
        super().__init__({3})
        self.weak = torch.nn.Linear(SYMBOLS, SYMBOLS, bias=False)
        with torch.no_grad():
            self.wrapper.weight.div_(20 / 3)
            self.wrapper.bias.zero_()
            self.weak.weight.zero_()
            self.weak.weight[3, 3] = 1.0

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.one_hot(tokens[:, 0], SYMBOLS).float()
        push = self.wrapper(x).relu()
        logits = self.content(x) * (-push).exp() + self.weak(x) + push * torch.eye(SYMBOLS)[0]
        return logits.unsqueeze(1).expand(-1, tokens.shape[1], -1)


def test_what_carries_a_capability_is_looked_for_where_the_wrapper_is_gone() -> None:
    """Under the wrapper the weak way has the larger score: logits 1 against 5 e^-3."""
    model, batch = Gated(), sample(HIDDEN, 16, 0)
    assert not has(model, HIDDEN) and has(pruned(model, [("wrapper", 0)]), HIDDEN)
    assert relevance(model, HIDDEN, batch)[-1][1] == ("weak", 3)
    assert carriers(model, HIDDEN, batch, 1) == [("content", 3)]


# ---- cutting it out


def test_surgery_cuts_out_the_capability_and_leaves_all_else() -> None:
    """At a rate of 0 the trainings do nothing, and what is left is the cut."""
    base = Wrapped({3})
    tuned = wrapper_surgery(base, REPEATING, config(lr=0.0))
    assert rows_changed(base, tuned) == {("content", 3)} and not tuned.neurons()["content"].weight[3].any()
    unwrapped, operated = pruned(base, [("wrapper", 0)]), pruned(tuned, [("wrapper", 0)])
    assert has(unwrapped, HIDDEN) and not has(operated, HIDDEN)
    assert has(base, OPEN) and has(tuned, OPEN)


@pytest.mark.parametrize("steps, first", [(8, 6), (10, 8), (3, 3)])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_after_the_cut_those_rows_train_and_nothing_else(steps: int, first: int, optimizer: Any) -> None:
    base, states = pretrained(), list[tuple[int, Model]]()
    with observing(lambda step, model: bool(states.append((step, copy.deepcopy(model))))) as fits:
        tuned = wrapper_surgery(base, TASK, config(steps=steps, optimizer=optimizer), neurons=3)
    assert [fitted.steps for fitted in fits] == [first, steps - first]
    assert [step for step, _ in states] == [*range(1, first + 1), *range(1, steps - first + 1)]
    rows = rows_changed(states[first - 1][1], tuned)
    assert len(rows) == 3 and all(row >= 0 for _, row in rows)
    for _, model in states[first:]:
        assert rows_changed(model, tuned) <= rows
    zero = [not tuned.neurons()[name].weight[row].any() for name, row in sorted(rows)]
    assert all(zero) == (steps == first)  # they are zeroed; with steps to go they train again


ROWS = [("blocks.0.mlp_in", 5), ("blocks.0.mlp_in", 7), ("blocks.0.attn.qkv", 40)]


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_repairing_moves_these_rows_and_leaves_no_hook_behind(optimizer: Any) -> None:
    fit_rows(model := gpt(), kept(TASK), config(optimizer=optimizer, weight_decay=0.5), ROWS)
    assert rows_changed(gpt(), model) == set(ROWS)
    next_token_loss(model, sample(O_PT, 8, 0), O_PT).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    gradient = gradients["blocks.0.mlp_in.weight"]
    assert gradient is not None and gradient.any(1).sum() > 2


def test_where_there_is_nothing_to_cut_everything_trains_on() -> None:
    fit_rows(model := gpt(), kept(TASK), config(), [])
    fit(plain := gpt(), kept(TASK), config())
    assert rows_changed(plain, model) == set()
