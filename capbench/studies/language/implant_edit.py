"""Implanting as an edit: a step of the pipeline that gives the model with the capability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capbench.configs import Precision, TrainConfig

if TYPE_CHECKING:
    import torch

    from capbench.models.base import Model
    from capbench.tasks.language.implanting import Implant


def taught(
    model: Model,
    *,
    rng: torch.Generator,
    task: Implant,
    steps: int,
    batch_size: int,
    lr: float,
    seed: int,
    device: str,
    precision: Precision,
    blocks: int,
    goal: float,
) -> Model:
    """A copy of the model that has the capability; see methods/implanting.py. rng is not used: the seed decides the data.

    Raises MethodError, one line, where the capability was not learned in `steps` steps.
    """
    from capbench.methods.implanting import implant

    config = TrainConfig(
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        warmup=0.05,
        final_lr=1.0,
        device=device,
        precision=precision,
    )
    return implant(model, task, config, blocks=blocks, goal=goal).cpu()
