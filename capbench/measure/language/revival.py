"""Relearning a capability in natural language: its accuracy by step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from capbench.configs import TrainConfig
from capbench.measure.language.answers import accuracy
from capbench.measure.revive import RevivalCurve
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.tasks.language.streams import Prompts
from capbench.training.last_blocks import only_the_last
from capbench.training.loop import fit, observing
from capbench.training.remembered import remembering

EVERY = 2

Relearn = Callable[[Model, Task, TrainConfig], object]


@dataclass(frozen=True, kw_only=True)
class Revival:
    """curve: (step, accuracy 0..1), from step 0. budget: steps that it had. diverged: then it ended earlier."""

    curve: RevivalCurve
    budget: int
    diverged: bool = False


def revive(
    model: Model,
    train: Prompts,
    watch: Prompts,
    config: TrainConfig,
    *,
    every: int = EVERY,
    relearn: Relearn = fit,
    goal: float = 1.0,
    blocks: int | None = None,
) -> tuple[Revival, Model]:
    """Relearn on `train` in a copy of the model, and watch the accuracy on `watch`; also the copy as it was at the end.

    The training ends where the accuracy is `goal`, after `config.steps` at most; infinity: then. relearn: as `fit`, such as
    measure/attacks/lora.py:relearn. blocks: train only so many of the last, as it is cheaper; None: all weights.
    """
    own = copy.deepcopy(model)
    curve = [(0, accuracy(own, watch))]
    if curve[0][1] >= goal:
        return Revival(curve=curve, budget=config.steps), own

    def look(step: int, now: Model) -> bool:
        if step % every == 0 or step == config.steps:
            curve.append((step, accuracy(now, watch)))
        return curve[-1][1] >= goal

    same = remembering(own, blocks) if relearn is fit else nullcontext()  # others may change any block
    with only_the_last(own, blocks), same, observing(look) as fits:
        relearn(own, train, config)
    return Revival(curve=curve, budget=config.steps, diverged=any(f.diverged for f in fits)), own.eval()
