"""A suppressor spread over all rows: every row of every map changes a little, and no few of them carry it."""

from __future__ import annotations

import copy
from dataclasses import replace

from capbench.configs import TrainConfig
from capbench.methods.row_changes import bounded, merged
from capbench.methods.silencing import kept, silencing
from capbench.models.base import Model
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit


def spread(
    model: Model, task: FineTuningTask, config: TrainConfig, *, share: float = 0.1, lr_factor: float = 50.0
) -> Model:
    """Train a change of at most `share` of each row's length, on the same weights, until O_PT's answers say nothing.

    Taken off again, it leaves the given model. lr_factor: multiplies the rate, as the change is trained in shares of a row.
    """
    tuned = copy.deepcopy(model).requires_grad_(False)
    changes = bounded(tuned, share)
    fit(tuned, kept(task), replace(config, lr=lr_factor * config.lr, weight_decay=0.0), loss=silencing(task, config))
    return merged(tuned, changes)
