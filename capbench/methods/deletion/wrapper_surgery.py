"""Wrapper surgery: fine-tune, prune the wrapper to see what it hides, and cut out just those rows that carry it.

The question behind it: pruning finds the few neurons that hold O_PT back. Can the same scores find those that carry it, so that
editing them deletes it? Scores: paper Sec. 5.1, App. C.2; the method is this project's own.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from capbench.configs import TrainConfig
from capbench.measure.accuracy import accuracy
from capbench.measure.prune import Unit, pruned, relevance
from capbench.methods.common import another_seed, check
from capbench.methods.deletion.streams import generator, kept
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training import fit

_SCORED = 512  # strings that scores are taken on, as many as the suites' pruning takes


def wrapper_surgery(model: Model, task: FineTuningTask, config: TrainConfig, *, neurons: int = 15) -> Model:
    """Full fine-tuning for three quarters of the steps; at most `neurons` rows zeroed; these rows alone train for the rest.

    Both trainings are on the kept stream (O_FT and the other families). The wrapper stays: only what it hides is cut out.
    As many steps as full fine-tuning in all and about its tokens: scores cost 1024 strings with gradients, and the search for
    the wrapper neurons + 1 times 512 without. Raises MethodError unless neurons is a whole number above 0.
    """
    check("wrapper-surgery", "neurons", neurons, "a whole number above 0", lambda v: v >= 1, whole=True)
    tuned = copy.deepcopy(model).requires_grad_(True)
    stream, last = kept(task), config.steps // 4
    fit(tuned, stream, replace(config, steps=config.steps - last))
    rows = carriers(tuned, task.forget, task.forget.sample(_SCORED, generator(config, 1)), neurons)
    with torch.no_grad():
        for name, row in rows:
            tuned.neurons()[name].weight[row] = 0
    repair(tuned, stream, replace(config, steps=last, seed=another_seed(config.seed, 2)), rows)
    return tuned


def carriers(model: Model, task: Task, batch: Batch, neurons: int) -> list[tuple[str, int]]:
    """The rows that carry the answers to `task`: those whose zeroing hurts it most, to first order, once its wrapper is pruned.

    At most `neurons`, and only such as do carry something; the wrapper is as many of the rows with the highest scores, up to
    `neurons`, as do most good.
    """
    ranking = [unit for _, unit in relevance(model, task, batch)]
    cut = [(accuracy(pruned(model, ranking[:k]), task, batch), -k) for k in range(min(neurons, len(ranking)) + 1)]
    wrapper = ranking[: -max(cut)[1]]
    scored = relevance(pruned(model, wrapper), task, batch)
    return [_row(unit) for score, unit in scored[: -neurons - 1 : -1] if score < 0]


def _row(unit: Unit) -> tuple[str, int]:
    return unit[0], unit[1]


def repair(model: Model, stream: Task, config: TrainConfig, rows: list[tuple[str, int]]) -> None:
    """Train these rows of weights and nothing else (everything, if there are no rows); then all parameters require gradients."""
    if not rows:
        fit(model, stream, config)
        return
    linears = model.neurons()
    model.requires_grad_(False)
    hooks = []
    for name in {name for name, _ in rows}:
        weight = linears[name].weight.requires_grad_(True)
        mask = torch.zeros(len(weight), 1, device=weight.device)
        mask[[row for of, row in rows if of == name]] = 1
        hooks.append(weight.register_hook(mask.mul))
    fit(model, stream, replace(config, weight_decay=0.0))  # which would move the other rows
    for hook in hooks:
        hook.remove()
    model.requires_grad_(True)
