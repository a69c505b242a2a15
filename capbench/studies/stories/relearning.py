"""reFT for a number of steps, as an edit of a model: what comes of it is a model again, which can tell stories."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from capbench.configs import Precision, TrainConfig

if TYPE_CHECKING:
    import torch

    from capbench.models.base import Model
    from capbench.tasks.base import Task


def relearnt(
    model: Model,
    *,
    rng: torch.Generator,
    task: Task,
    steps: int,
    batch_size: int,
    lr: float,
    seed: int,
    device: str,
    precision: Precision,
) -> Model:
    """A copy of the model, all weights trained on the task at a constant rate. rng is not used: the seed decides the data.

    Trainings that differ in their steps alone begin alike.
    """
    from capbench.training.loop import fit

    tuned = copy.deepcopy(model).requires_grad_(True)
    config = TrainConfig(
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        warmup=0.0,
        final_lr=1.0,
        device=device,
        precision=precision,
    )
    fit(tuned, task, config)
    return tuned.cpu()
