"""Single-shot pruning of neurons (rows of weight matrices) that hold a capability back, with a random control (paper Fig. 7)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.measure.accuracy import accuracy, predictions
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task

Neuron = tuple[str, int]  # name of the linear map, row of its weight matrix


def relevance(model: Model, task: Task, batch: Batch) -> list[tuple[float, Neuron]]:
    """Every neuron's score, highest first: theta . dL/dtheta over its row of weights, L the answer loss on `task`.

    To first order, zeroing a neuron changes the loss by minus its score: the highest scores hold the task back.
    Source: Sec. 5.1, App. C.2 (L is the loss on the *pretraining* task).
    """
    model = copy.deepcopy(model).eval().requires_grad_(True)
    logits = model(batch.tokens)[:, task.answer_pos]
    F.cross_entropy(logits, batch.targets[:, task.answer_pos]).backward()
    scored: list[tuple[float, Neuron]] = []
    for name, linear in model.neurons().items():
        gradient = linear.weight.grad
        scores = torch.zeros(len(linear.weight)) if gradient is None else (linear.weight * gradient).sum(1)
        scored += [(score, (name, row)) for row, score in enumerate(scores.tolist())]
    return sorted(scored, reverse=True)


def pruned(model: Model, neurons: Sequence[Neuron]) -> Model:
    """A copy of the model with these rows of weights set to zero; biases stay (App. C.2: neurons are rows)."""
    model = copy.deepcopy(model)
    linears = model.neurons()
    with torch.no_grad():
        for name, row in neurons:
            linears[name].weight[row] = 0
    return model


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Accuracies after pruning ks[i] neurons, on the evaluation samples; lists run along ks (ks[0] = 0: nothing pruned).

    random: mean over the draws of equally many random neurons. classes: how many different answers the pruned model
    gives on the pretraining task (Fig. 59: a gain with a single answer is an artefact). best: the index into ks, up to
    `most` neurons, that did best on the *selection* sample.
    """

    ks: tuple[int, ...]
    pretraining: tuple[float, ...]
    finetuning: tuple[float, ...]
    random_pretraining: tuple[float, ...]
    random_finetuning: tuple[float, ...]
    classes: tuple[int, ...]
    best: int

    @property
    def gain(self) -> float:
        """Pretraining-task accuracy above that of equally many random neurons, at `best`."""
        return self.pretraining[self.best] - self.random_pretraining[self.best]

    @property
    def cost(self) -> float:
        """Fine-tuning-task accuracy lost to pruning, at `best`."""
        return self.finetuning[0] - self.finetuning[self.best]


def prune_and_evaluate(
    model: Model,
    *,
    pretraining: Task,
    finetuning: Task,
    select: Batch,
    evaluate: Batch,
    evaluate_finetuning: Batch,
    ks: Sequence[int],
    most: int,
    random_draws: int,
    rng: torch.Generator,
) -> Pruning:
    """Score and choose neurons on `select`, measure on the two evaluation samples (disjoint from `select`).

    ks: numbers of neurons to prune, for the curves; at most `most` of them count for the choice of `best`.
    """
    if not any(0 < k <= most for k in ks):
        raise UsageError(f"numbers of neurons to prune {tuple(ks)}: none is between 1 and {most}")
    ranking = [neuron for _, neuron in relevance(model, pretraining, select)]
    ks = (0, *sorted({k for k in ks if 0 < k <= len(ranking)}))
    chosen, pt, ft, random_pt, random_ft, classes = [], [], [], [], [], []
    for k in ks:
        smaller = pruned(model, ranking[:k])
        chosen.append(accuracy(smaller, pretraining, select))
        answers = predictions(smaller, pretraining, evaluate)
        pt.append(float((answers == evaluate.targets[:, pretraining.answer_pos]).float().mean()))
        ft.append(accuracy(smaller, finetuning, evaluate_finetuning))
        classes.append(len(answers.unique()))
        draws = [torch.randperm(len(ranking), generator=rng)[:k].tolist() for _ in range(random_draws if k else 1)]
        controls = [pruned(model, [ranking[i] for i in draw]) for draw in draws]
        random_pt.append(sum(accuracy(m, pretraining, evaluate) for m in controls) / len(controls))
        random_ft.append(sum(accuracy(m, finetuning, evaluate_finetuning) for m in controls) / len(controls))
    # None at all is one of the choices: where every pruning does harm, nothing is gained, rather than less than nothing.
    best = max((i for i, k in enumerate(ks) if k <= most), key=lambda i: (chosen[i], -ks[i]))
    return Pruning(
        ks=ks,
        pretraining=tuple(pt),
        finetuning=tuple(ft),
        random_pretraining=tuple(random_pt),
        random_finetuning=tuple(random_ft),
        classes=tuple(classes),
        best=best,
    )
