"""A greedy search for the neurons that hold a capability back, whatever the weights that write them down.

A row of a map that writes to the residual stream is a dimension of that stream: in another basis it is another row. So only rows
of maps that *read* the stream are looked at, and the weights and biases of norms are first moved into them. What is left of a
pruned row is its bias, the answer to a stream that says nothing. Neither scaling, nor another basis, nor terms that norms remove
change what such a row does, its score, or what pruning it changes. Source of the score: paper Sec. 5.1; of the search: none, the
paper prunes the rows with the highest scores all at once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from capbench.measure.accuracy import accuracy, device_of
from capbench.measure.prune import Pruning, Unit, evaluated, pruned
from capbench.models.anatomy import halves, known, normed
from capbench.models.base import Model
from capbench.models.edits.preserving.stream import folded_norms
from capbench.tasks.base import Batch, Task

_ROUNDS = 15
_SIZES = (1, 2, 5, 10, 15, 20, 30, 45)  # numbers of rows that are compared, and the most


def as_readers(model: Model) -> tuple[Model, list[str]]:
    """A copy of the model whose norms are folded into what reads them, and the names of its maps that read the stream.

    An architecture that is not known inside is taken as it is, with all its maps.
    """
    if not known(model):
        found = copy.deepcopy(model)
        return found, list(found.neurons())
    found = folded_norms(model, rng=torch.Generator()) if normed(model) else copy.deepcopy(model)
    reading = {id(linear) for block in halves(found) for half in block for linear in half.readers}
    return found, [name for name, linear in found.neurons().items() if id(linear) in reading]


def searched_rows(
    model: Model, task: Task, batch: Batch, *, rows_of: Sequence[str], most: int, shortlist: int
) -> list[Unit]:
    """Up to `most` rows whose removal, some after others, lowers the answer loss on `task` most.

    Each round scores all rows anew (theta . dL/dtheta), tries the `shortlist` with the highest scores one by one, and prunes the
    best: one, or as many as it takes to get to `most` in fifteen rounds, where together they help more. It ends where none helps.
    """
    model = copy.deepcopy(model).eval().requires_grad_(True)
    linears = {name: linear for name, linear in model.neurons().items() if name in rows_of}
    batch = Batch(batch.tokens.to(device_of(model)), batch.targets.to(device_of(model)))
    chosen: list[Unit] = []
    best = _without(model, linears, [], task, batch)
    while len(chosen) < most:
        candidates = [unit for unit in _scored(model, linears, task, batch) if unit not in chosen][:shortlist]
        tried = sorted((_without(model, linears, [unit], task, batch), unit) for unit in candidates)
        for together in (min(math.ceil(most / _ROUNDS), most - len(chosen)), 1):
            units = [unit for loss, unit in tried[:together] if loss < best]
            found = _without(model, linears, units, task, batch) if units else math.inf
            if found < best:
                break
        else:
            break
        best = found
        _zero(linears, units)
        chosen += units
    return chosen


def search_and_evaluate(
    model: Model,
    *,
    pretraining: Task,
    finetuning: Task,
    select: Batch,
    evaluate: Batch,
    evaluate_finetuning: Batch,
    most: int,
    shortlist: int,
    strings: int,
    random_draws: int,
    rng: torch.Generator,
) -> Pruning:
    """The better of a greedy search and of pruning by score alone, chosen on `select`, measured on the other two samples.

    strings: how many of `select` the search looks at in each trial; the choice is made on all of them. Random rows are of the
    same maps, and drawn by their rank in score, so that the order in which a model holds its neurons does not matter.
    """
    model, rows_of = as_readers(model)
    of_search = Batch(select.tokens[:strings], select.targets[:strings])
    scoring = copy.deepcopy(model).eval().requires_grad_(True)
    linears = {name: linear for name, linear in scoring.neurons().items() if name in rows_of}
    pool = _scored(scoring, linears, pretraining, select)
    greedy = searched_rows(model, pretraining, of_search, rows_of=rows_of, most=most, shortlist=shortlist)
    sizes = [k for k in (*_SIZES, most) if k <= most]
    ways = [[], *(units[:k] for units in (greedy, pool) for k in sizes)]
    chosen = max(ways, key=lambda units: (accuracy(pruned(model, units), pretraining, select), -len(units)))
    ks = (0, len(chosen)) if chosen else (0,)
    return evaluated(
        model,
        chosen,
        ks,
        len(ks) - 1,
        pretraining=pretraining,
        finetuning=finetuning,
        evaluate=evaluate,
        evaluate_finetuning=evaluate_finetuning,
        alike=lambda _: pool,
        random_draws=random_draws,
        rng=rng,
    )


def _loss(model: Model, task: Task, batch: Batch) -> Tensor:
    return F.cross_entropy(model.answer_logits(batch.tokens, task.answer_pos), batch.targets[:, task.answer_pos])


def _scored(model: Model, linears: dict[str, nn.Linear], task: Task, batch: Batch) -> list[Unit]:
    """All rows, the one with the highest score first. Leaves no gradients."""
    weights = [linear.weight for linear in linears.values()]
    batch = Batch(batch.tokens.to(device_of(model)), batch.targets.to(device_of(model)))
    gradients = torch.autograd.grad(_loss(model, task, batch), weights, allow_unused=True, materialize_grads=True)
    scored = [
        (score, (name, row))
        for name, weight, gradient in zip(linears, weights, gradients, strict=True)
        for row, score in enumerate((weight * gradient).sum(1).tolist())
    ]
    return [unit for _, unit in sorted(scored, key=lambda pair: -pair[0])]


@torch.no_grad()
def _without(model: Model, linears: dict[str, nn.Linear], units: Sequence[Unit], task: Task, batch: Batch) -> float:
    kept = [(unit, linears[unit[0]].weight[unit[1]].clone()) for unit in units]
    _zero(linears, units)
    found = float(_loss(model, task, batch))
    for unit, row in kept:
        linears[unit[0]].weight[unit[1]] = row
    return found


@torch.no_grad()
def _zero(linears: dict[str, nn.Linear], units: Sequence[Unit]) -> None:
    for name, row, *_ in units:
        linears[name].weight[row] = 0
