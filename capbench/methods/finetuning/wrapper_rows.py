"""Wrapper rows: only the few rows train in which a short full fine-tuning puts its wrapper (the paper's open question 3).

If fine-tuning hides a capability behind few neurons, then training those alone should be enough to learn what it teaches. Scores:
paper Sec. 5.1, App. C.2; the method is this project's own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from capbench.configs import TrainConfig
from capbench.measure.prune import relevance
from capbench.methods.common import check, check_choice
from capbench.methods.row_training import fit_rows
from capbench.methods.streams import generator
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit

BY = ("pruning", "elsewhere")
_SCORED = 512  # strings for the scores, as many as the suites' pruning uses


def wrapper_rows(
    model: Model,
    task: FineTuningTask,
    config: TrainConfig,
    *,
    neurons: int = 15,
    pilot: float = 0.25,
    lr_factor: float = 1.0,
    by: str = "pruning",
) -> Model:
    """Fully fine-tune a copy for a share of the steps, and see which rows hold O_PT back there; then train only these rows.

    They are those of the model as it was, and train for the steps that are left. neurons: how many. pilot: share of the steps.
    lr_factor: multiplies the rate of the rows' training. by: `pruning`, or `elsewhere`: as many others of the same maps, for
    comparison. As many steps as full fine-tuning; the scores cost 512 strings with gradients. Raises MethodError for an option
    out of range.
    """
    check("wrapper-rows", "neurons", neurons, "a whole number, at least 1", lambda v: v >= 1, whole=True)
    check("wrapper-rows", "pilot", pilot, "a number above 0 and below 1", lambda v: 0 < v < 1)
    check("wrapper-rows", "lr_factor", lr_factor, "a number above 0", lambda v: v > 0)
    check_choice("wrapper-rows", "by", by, BY)
    first = round(pilot * config.steps)
    fit(tried := copy.deepcopy(model), task, replace(config, steps=first))
    ranking = relevance(tried, task.forget, task.forget.sample(_SCORED, generator(config, 1)))
    rows = [(unit[0], unit[1]) for _, unit in ranking[:neurons]]
    if by == "elsewhere":
        rows = others(model, rows, generator(config, 2))
    tuned = copy.deepcopy(model)
    fit_rows(tuned, task, replace(config, steps=config.steps - first, lr=lr_factor * config.lr), rows)
    return tuned


def others(model: Model, rows: Sequence[tuple[str, int]], rng: torch.Generator) -> list[tuple[str, int]]:
    """For each of these rows another one of its map, drawn; of a map that has not as many others, all of them."""
    found: list[tuple[str, int]] = []
    for name in dict.fromkeys(name for name, _ in rows):
        taken = {row for of, row in rows if of == name}
        order = torch.randperm(model.neurons()[name].out_features, generator=rng).tolist()
        found += [(name, row) for row in order if row not in taken][: len(taken)]
    return found
