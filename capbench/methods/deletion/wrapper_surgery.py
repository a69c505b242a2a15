"""Wrapper surgery: fine-tune, prune the wrapper to expose what it hides, and zero only the rows that carry it.

The question behind it: pruning finds the few neurons that suppress O_PT. Can the same scores find those that carry it, so that
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
from capbench.methods.row_training import fit_rows
from capbench.methods.streams import generator, kept
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit

_SCORED = 512  # strings for the scores, as many as the suites' pruning uses


def wrapper_surgery(model: Model, task: FineTuningTask, config: TrainConfig, *, neurons: int = 15) -> Model:
    """Fully fine-tune for three quarters of the steps, zero at most `neurons` rows, then train only these rows for the rest.

    Both trainings use the kept stream (O_FT and the other families). The wrapper stays: only what it hides is removed.
    As many steps as full fine-tuning and about as many tokens: scores cost 1024 strings with gradients, and the search for
    the wrapper neurons + 1 times 512 strings without. Raises MethodError unless neurons is a whole number, at least 1.
    """
    check("wrapper-surgery", "neurons", neurons, "a whole number, at least 1", lambda v: v >= 1, whole=True)
    tuned = copy.deepcopy(model).requires_grad_(True)
    stream, last = kept(task), config.steps // 4
    fit(tuned, stream, replace(config, steps=config.steps - last))
    rows = carriers(tuned, task.forget, task.forget.sample(_SCORED, generator(config, 1)), neurons)
    with torch.no_grad():
        for name, row in rows:
            tuned.neurons()[name].weight[row] = 0
    fit_rows(tuned, stream, replace(config, steps=last, seed=another_seed(config.seed, 2)), rows)
    return tuned


def carriers(model: Model, task: Task, batch: Batch, neurons: int) -> list[tuple[str, int]]:
    """The rows that carry the answers to `task`: zeroing them hurts most, to first order, once the wrapper is pruned.

    At most `neurons`, and only rows that carry something. The wrapper: the rows with the highest scores, as many (up to
    `neurons`) as help most when pruned.
    """
    ranking = [unit for _, unit in relevance(model, task, batch)]
    cut = [(accuracy(pruned(model, ranking[:k]), task, batch), -k) for k in range(min(neurons, len(ranking)) + 1)]
    wrapper = ranking[: -max(cut)[1]]
    scored = relevance(pruned(model, wrapper), task, batch)
    return [_row(unit) for score, unit in scored[: -neurons - 1 : -1] if score < 0]


def _row(unit: Unit) -> tuple[str, int]:
    return unit[0], unit[1]
