"""A suppressor trained against pruning: it holds although any 15 rows, the most suspect ones too, are taken out."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.methods.row_changes import Change, bounded, merged
from capbench.methods.silencing import kept, silencing
from capbench.methods.streams import generator
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.training.loop import fit


def pruning_proof(
    model: Model,
    task: FineTuningTask,
    config: TrainConfig,
    *,
    share: float = 0.2,
    rows: int = 15,
    lr_factor: float = 50.0,
) -> Model:
    """Train a change of each row as `spread` does, while `rows` rows are zeroed: in turn random ones, the ones that first-order
    pruning would choose (theta . dL/dtheta on O_PT, paper App. C.2), and none. Taken off again, it leaves the given model.
    """
    tuned = copy.deepcopy(model).requires_grad_(False)
    changes = bounded(tuned, share)
    rng = generator(config, 2)
    step = 0

    def zero(model: Model, prompts: Batch) -> None:
        nonlocal step
        chosen = [(), _random(changes, rows, rng), _suspects(model, changes, task.forget, prompts, rows)][step % 3]
        _zeroed(changes, chosen)
        step += 1

    loss = silencing(task, config, before=zero)

    def whole_again(model: Model, batch: Batch, stream: Task) -> Tensor:
        _zeroed(changes, ())  # what is to stay is learnt with all rows in place
        return loss(model, batch, stream)

    fit(tuned, kept(task), replace(config, lr=lr_factor * config.lr, weight_decay=0.0), loss=whole_again)
    _zeroed(changes, ())
    return merged(tuned, changes)


Rows = list[tuple[str, int]] | tuple[()]


def _zeroed(changes: dict[str, Change], chosen: Rows) -> None:
    for change in changes.values():
        change.rows = torch.ones_like(change.rows)
    for name, row in chosen:
        changes[name].rows[row] = 0.0


def _random(changes: dict[str, Change], n: int, rng: torch.Generator) -> Rows:
    every = [(name, row) for name, change in changes.items() for row in range(len(change.rows))]
    return [every[i] for i in torch.randperm(len(every), generator=rng)[:n].tolist()]


def _suspects(model: Model, changes: dict[str, Change], task: Task, prompts: Batch, n: int) -> Rows:
    """The rows whose removal would, to first order, lower the loss on O_PT's right answers most."""
    for change in changes.values():
        change.rows = torch.ones_like(change.rows).requires_grad_(True)
    answers = prompts.targets[:, task.answer_pos]
    loss = F.cross_entropy(model.answer_logits(prompts.tokens, task.answer_pos), answers)
    scores = torch.autograd.grad(loss, [change.rows for change in changes.values()])  # of a row: theta . dL/dtheta
    ranked = [
        (score, (name, row))
        for name, found in zip(changes, scores, strict=True)
        for row, score in enumerate(found.tolist())
    ]
    return [place for _, place in sorted(ranked, reverse=True)[:n]]
