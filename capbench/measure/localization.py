"""How concentrated a change of weights is: the smallest share of it that, taken back, gives a capability back.

Weights of the fine-tuned model are set to the base model's values, a few at a time, in the order of what each does to the loss
on the old task: change times gradient, averaged along the straight way from one model to the other, so that the parts sum up to
the whole (integrated gradients, Sundararajan, Taly and Yan 2017). What helps and what harms count alike: taking back only what
helps overshoots, as the parts cancel. Chosen on one sample, evaluated on another.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from capbench.errors import UsageError
from capbench.measure.accuracy import accuracy, device_of
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task

Units = Literal["weights", "rows", "layers"]
WAY = 8  # points on the way at which the gradient is taken
STEP = 1.25  # each number of units tried is about this many times the one before
Values = Mapping[str, Tensor]  # by parameter


@dataclass(frozen=True, kw_only=True)
class Localization:
    """What taking back a part of the change gives back, where 0 is the fine-tuned model's accuracy and 1 the base model's.

    units: how many there are. counts: how many were taken back; recovered, random: what that gives back on the evaluation sample,
    in order of the scores, and of random ones (mean over draws; at the chosen number and the two ends alone, else None).
    chosen: index into counts of the smallest number that gives back `goal` on the *selection* sample.
    """

    units: int
    counts: tuple[int, ...]
    recovered: tuple[float, ...]
    random: tuple[float | None, ...]
    chosen: int

    @property
    def share(self) -> float:
        """The smallest share of the units that gives the goal back, 0..1."""
        return self.counts[self.chosen] / self.units


def localized(
    base: Model,
    tuned: Model,
    task: Task,
    *,
    select: Batch,
    evaluate: Batch,
    units: Units,
    goal: float,
    random_draws: int,
    rng: torch.Generator,
) -> Localization | None:
    """Where a change sits. None where it took nothing: the fine-tuned model is no worse at `task` on either sample.

    units: single weights; rows, slices of a parameter along its first axis; or layers (a block, an embedding …). goal: share of
    the lost accuracy to give back, 0..1. select and evaluate are disjoint.
    """
    before, after = _values(base), _values(tuned)
    if {name: value.shape for name, value in before.items()} != {name: value.shape for name, value in after.items()}:
        raise UsageError("the change of a model can be located only where both have the same weights")
    lost = {
        key: accuracy(base, task, b) - accuracy(tuned, task, b)
        for key, b in (("select", select), ("evaluate", evaluate))
    }
    if min(lost.values()) <= 0:
        return None
    start = {key: accuracy(tuned, task, b) for key, b in (("select", select), ("evaluate", evaluate))}
    unit_of = _numbered(after, units)
    n = 1 + int(max(int(ids.max()) for ids in unit_of.values()))
    scores = torch.zeros(n, dtype=torch.float64)
    for name, gains in _gains(base, tuned, task, select).items():
        scores.index_add_(0, unit_of[name].flatten(), gains.flatten().double())
    order = scores.abs().argsort(descending=True, stable=True)
    trial = copy.deepcopy(tuned)

    def gives_back(ranking: Tensor, count: int, key: str, batch: Batch) -> float:
        taken = torch.zeros(n, dtype=torch.bool)
        taken[ranking[:count]] = True
        with torch.no_grad():
            for name, parameter in trial.named_parameters():
                parameter.copy_(torch.where(taken[unit_of[name]].to(parameter.device), before[name], after[name]))
        return (accuracy(trial, task, batch) - start[key]) / lost[key]

    counts = _counts(n)
    chosen = next(i for i, k in enumerate(counts) if gives_back(order, k, "select", select) >= goal)
    draws = [torch.randperm(n, generator=rng) for _ in range(random_draws)]
    by_chance: list[float | None] = [None] * len(counts)
    for i in {0, chosen, len(counts) - 1}:
        found = [gives_back(draw, counts[i], "evaluate", evaluate) for draw in draws]
        by_chance[i] = sum(found) / len(found)
    return Localization(
        units=n,
        counts=counts,
        recovered=tuple(gives_back(order, k, "evaluate", evaluate) for k in counts),
        random=tuple(by_chance),
        chosen=chosen,
    )


def _values(model: Model) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _gains(base: Model, tuned: Model, task: Task, batch: Batch) -> dict[str, Tensor]:
    """By parameter, how much of the loss each weight takes away on the way back, in the parameter's shape, on the CPU."""
    before, after = _values(base), _values(tuned)
    model = copy.deepcopy(tuned).eval().requires_grad_(True)
    device = device_of(model)
    sums = {name: torch.zeros_like(value) for name, value in after.items()}
    for point in range(WAY):
        way = (point + 0.5) / WAY
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(torch.lerp(after[name], before[name], way))
        model.zero_grad(set_to_none=True)
        logits = model.answer_logits(batch.tokens.to(device), task.answer_pos)
        F.cross_entropy(logits, batch.targets[:, task.answer_pos].to(device)).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                sums[name] += parameter.grad / WAY
    return {name: (-(before[name] - after[name]) * total).cpu() for name, total in sums.items()}


def _numbered(values: Values, units: Units) -> dict[str, Tensor]:
    """By parameter, the number of the unit that each weight belongs to, from 0 without gaps; Int[shape of the parameter]."""
    found, first, layers = {}, 0, dict[str, int]()
    for name, value in values.items():
        if units == "layers":
            number = layers.setdefault(_layer(name), len(layers))
            found[name] = torch.full(value.shape, number, dtype=torch.long)
            continue
        shape = value.shape if units == "weights" else (len(value), *[1] * (value.dim() - 1))
        size = math.prod(shape)
        found[name] = torch.arange(first, first + size).view(shape).expand(value.shape)
        first += size
    return found


def _layer(name: str) -> str:
    """`blocks.0` of `blocks.0.mlp.up.weight`, `embed` of `embed.weight`: up to the first number, or else the first part."""
    numbered = re.match(r"(.*?\.\d+)(\.|$)", name)
    return numbered[1] if numbered else name.partition(".")[0]


def _counts(n: int) -> tuple[int, ...]:
    counts: Sequence[int] = [0, 1]
    while counts[-1] < n:
        counts = [*counts, min(n, max(counts[-1] + 1, round(counts[-1] * STEP)))]
    return tuple(counts)
