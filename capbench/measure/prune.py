"""Pruning units that suppress a capability: neurons (rows of weight matrices) or single weights, with a random control.

Source: paper Fig. 7, 55-58.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.measure.accuracy import accuracy, device_of, predictions
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task

Unit = (
    tuple[str, int] | tuple[str, int, int]
)  # name of the linear map, row of its weight matrix, column for a single weight
Units = Literal["neurons", "weights"]


def relevance(model: Model, task: Task, batch: Batch, *, units: Units = "neurons") -> list[tuple[float, Unit]]:
    """Every unit's score, highest first: theta . dL/dtheta (over its row, for a neuron), L the answer loss on `task`.

    To first order, zeroing a unit changes the loss by minus its score: units with the highest scores suppress the task.
    Source: Sec. 5.1, App. C.2 (L is the loss on the *pretraining* task).
    """
    model = copy.deepcopy(model).eval().requires_grad_(True)
    device = device_of(model)
    logits = model.answer_logits(batch.tokens.to(device), task.answer_pos)
    F.cross_entropy(logits, batch.targets[:, task.answer_pos].to(device)).backward()
    scored: list[tuple[float, Unit]] = []
    for name, linear in model.neurons().items():
        gradient = linear.weight.grad
        scores = torch.zeros_like(linear.weight) if gradient is None else linear.weight * gradient
        if units == "neurons":
            scored += [(score, (name, row)) for row, score in enumerate(scores.sum(1).tolist())]
        else:
            scored += [
                (score, (name, row, column))
                for row, scores_of_row in enumerate(scores.tolist())
                for column, score in enumerate(scores_of_row)
            ]
    return sorted(scored, reverse=True)


def pruned(model: Model, units: Sequence[Unit]) -> Model:
    """A copy of the model with these weight rows or single weights set to zero; biases stay (App. C.2)."""
    model = copy.deepcopy(model)
    linears = model.neurons()
    with torch.no_grad():
        for name, *place in units:
            linears[name].weight[tuple(place)] = 0
    return model


def searched(
    model: Model, task: Task, batch: Batch, *, units: Units, candidates: int, most: int, shortlist: int = 60
) -> list[Unit]:
    """Up to `most` units whose removal, one after another, helps `task` most: a greedy search on `batch`.

    Candidates are the units with the largest absolute scores; later rounds try only the `shortlist` best of the round before.
    In a compiled model weights are large: zeroing one is not a small step, and first-order scores mislead.
    """
    model = copy.deepcopy(model)
    linears = model.neurons()
    scored = sorted(relevance(model, task, batch, units=units), key=lambda pair: -abs(pair[0]))
    trying = [unit for _, unit in scored[:candidates]]
    chosen: list[Unit] = []
    best = accuracy(model, task, batch)
    with torch.no_grad():
        while len(chosen) < most:
            tried = []
            for unit in trying:
                weight, place = linears[unit[0]].weight, unit[1:]
                kept = weight[place].clone()
                weight[place] = 0
                tried.append(accuracy(model, task, batch))
                weight[place] = kept
            order = sorted(range(len(trying)), key=lambda i: -tried[i])  # ties go to the larger score
            if not order or tried[order[0]] <= best:
                break
            best = tried[order[0]]
            chosen.append(unit := trying[order[0]])
            linears[unit[0]].weight[unit[1:]] = 0
            trying = [trying[i] for i in order[1 : shortlist + 1]]
    return chosen


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """Accuracies after pruning ks[i] units, on the evaluation samples; tuples are indexed like ks (ks[0] = 0: nothing pruned).

    chosen: the units in pruning order, up to ks[best]. random_*: mean over draws of equally many random units. classes: how
    many different answers the pruned model gives on the pretraining task (Fig. 59: a gain with a single answer is an artefact).
    best: the index into ks, with at most `most` units, that did best on the *selection* sample.
    """

    chosen: tuple[Unit, ...]
    ks: tuple[int, ...]
    pretraining: tuple[float, ...]
    finetuning: tuple[float, ...]
    random_pretraining: tuple[float, ...]
    random_finetuning: tuple[float, ...]
    classes: tuple[int, ...]
    best: int

    @property
    def gain(self) -> float:
        """Pretraining-task accuracy minus that after pruning equally many random units, at `best`."""
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
    units: Units = "neurons",
    search: int = 0,
) -> Pruning:
    """Score and choose units on `select`, measure on the two evaluation samples (disjoint from `select`).

    ks: numbers of units to prune, for the curves; only those up to `most` count for the choice of `best`.
    search: 0 prunes the units with the highest scores (single-shot, Sec. 5.1); else a greedy search among that many candidates.
    Random weights are drawn from the others that are at least as large as the smallest pruned one: most weights of a compiled
    model are almost zero, and pruning those would be no control.
    """
    if not any(0 < k <= most for k in ks):
        raise UsageError(f"numbers of {units} to prune {tuple(ks)}: at least one must be between 1 and {most}")
    ranking = [unit for _, unit in relevance(model, pretraining, select, units=units)]
    pool = ranking
    if search:
        ranking = searched(model, pretraining, select, units=units, candidates=search, most=most)
    ks = (0, *sorted({k for k in ks if 0 < k <= len(ranking)}))
    selecting = [accuracy(pruned(model, ranking[:k]), pretraining, select) for k in ks]
    # Pruning nothing is one of the choices: where every pruning harms, the gain is 0 and not negative.
    best = max((i for i, k in enumerate(ks) if k <= most), key=lambda i: (selecting[i], -ks[i]))
    return evaluated(
        model,
        ranking,
        ks,
        best,
        pretraining=pretraining,
        finetuning=finetuning,
        evaluate=evaluate,
        evaluate_finetuning=evaluate_finetuning,
        alike=lambda chosen: pool if units == "neurons" else _as_large(model, pool, chosen),
        random_draws=random_draws,
        rng=rng,
    )


def evaluated(
    model: Model,
    ranking: Sequence[Unit],
    ks: Sequence[int],
    best: int,
    *,
    pretraining: Task,
    finetuning: Task,
    evaluate: Batch,
    evaluate_finetuning: Batch,
    alike: Callable[[Sequence[Unit]], Sequence[Unit]],
    random_draws: int,
    rng: torch.Generator,
) -> Pruning:
    """What pruning the first ks[i] units of a ranking does, and pruning as many of those that are `alike`, drawn at random.

    best: the index into ks that was chosen, on another sample. alike: given the pruned units, those to draw from.
    """
    pt, ft, random_pt, random_ft, classes = [], [], [], [], []
    for k in ks:
        smaller = pruned(model, ranking[:k])
        answers = predictions(smaller, pretraining, evaluate)
        pt.append(float((answers == evaluate.targets[:, pretraining.answer_pos]).float().mean()))
        ft.append(accuracy(smaller, finetuning, evaluate_finetuning))
        classes.append(len(answers.unique()))
        others = alike(ranking[:k])
        draws = [torch.randperm(len(others), generator=rng)[:k].tolist() for _ in range(random_draws if k else 1)]
        controls = [pruned(model, [others[i] for i in draw]) for draw in draws]
        random_pt.append(sum(accuracy(m, pretraining, evaluate) for m in controls) / len(controls))
        random_ft.append(sum(accuracy(m, finetuning, evaluate_finetuning) for m in controls) / len(controls))
    return Pruning(
        chosen=tuple(ranking[: ks[best]]),
        ks=tuple(ks),
        pretraining=tuple(pt),
        finetuning=tuple(ft),
        random_pretraining=tuple(random_pt),
        random_finetuning=tuple(random_ft),
        classes=tuple(classes),
        best=best,
    )


def _as_large(model: Model, pool: Sequence[Unit], pruned_ones: Sequence[Unit]) -> list[Unit]:
    """The other single weights in the pool that are at least as large as the smallest pruned one."""
    if not pruned_ones:
        return []
    sizes = {name: linear.weight.detach().abs().tolist() for name, linear in model.neurons().items()}
    size = [sizes[name][row][column] for name, row, column in pool]  # type: ignore[misc]
    smallest = min(its for unit, its in zip(pool, size, strict=True) if unit in pruned_ones)
    alike = [unit for unit, its in zip(pool, size, strict=True) if its >= smallest and unit not in pruned_ones]
    return alike or [unit for unit in pool if unit not in pruned_ones]  # there may be none as large
