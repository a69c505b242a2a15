"""No tool's figure moves where the weights are rewritten and the function is not; where the function is another, it does.

The full run, on trained models, is benchmarks/invariance.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shaken import MODELS, compiled_like, gpt, rng
from torch import Tensor

from capbench.measure.probe import code_length, features
from capbench.models.base import Model
from capbench.models.edits import preserving
from capbench.tasks.base import Batch, Task

N = 256


def labels(which: str) -> Tensor:
    """Two classes that lie in the last layer of the model as it is, so that there is something to read."""
    make, task = MODELS[which]
    last = features(make(), sampled(task), task.answer_pos)[-1]
    return (last[:, 0] > last[:, 0].median()).long()


def sampled(task: Task) -> Batch:
    return task.sample(N, rng(5))


def bits(model: Model, which: str) -> float:
    """Description length of those classes at the best layer: 1 bit where nothing tells of them."""
    task = MODELS[which][1]
    x = features(model, sampled(task), task.answer_pos)
    return code_length(x, labels(which), 2, blocks=(16, 64, N)).min().item()


# Figures of voting tools: those of a trained model, and those of a compiled one.
FIGURES: dict[str, tuple[Callable[[], Model], Callable[[Model], float]]] = {
    "probing, trained": (gpt, lambda model: bits(model, "gpt")),
    "probing, compiled": (compiled_like, lambda model: bits(model, "compiled")),
}


@settings(max_examples=8)
@given(seed=st.integers(0, 10_000), name=st.sampled_from(sorted(FIGURES)), strength=st.floats(1, 100))
def test_composed_rewrites_move_no_figure(seed: int, name: str, strength: float) -> None:
    make, figure = FIGURES[name]
    model = make()
    assert figure(preserving.composed(model, rng=rng(seed), strength=strength)) == pytest.approx(
        figure(model), abs=0.02
    )


@pytest.mark.parametrize("name", FIGURES)
def test_a_change_of_the_function_moves_every_figure(name: str) -> None:
    make, figure = FIGURES[name]
    blind: Any = make()
    with torch.no_grad():
        blind.token_embedding.weight.zero_()  # it answers whatever the string is
    assert figure(blind) > figure(make()) + 0.2
