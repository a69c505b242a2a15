"""What the attacks by training share: a copy of the model, trained for a few steps, on some text to keep beside the data.

Without that text, training wrecks a model while it brings its capability back, and such an attack does not count.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.measure.attacks.ground import Ground, NotCarriedOutError, Tried
from capbench.measure.attacks.lora import updating
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.language.streams import Texts
from capbench.training.last_blocks import only_the_last
from capbench.training.loop import Fit, Loss, batches, fit, next_token_loss

PART = 3  # of the blocks, one in so many is trained, from the last: a step of all takes three times as long

LONGER = 4  # times as many tokens as in a prompt are taken to be in a string of text: a round number; so a step costs no more

How = Callable[[Model, Task, TrainConfig, Loss], Fit]


def after(
    model: Model,
    ground: Ground,
    data: Task,
    *,
    lr: float,
    how: How | None = None,
    beside: bool = True,
    detail: str = "",
) -> Tried:
    """What a copy of the model answers after training on the data. beside: on text to keep, too.

    Raises NotCarriedOutError if the training diverges: a model can be written so that the same function has no usable gradient.
    """
    own, config = copy.deepcopy(model), ground.train(model, lr)
    if not beside:  # the data are text, whose strings are longer than prompts
        config = replace(config, batch_size=max(1, config.batch_size // LONGER))
    loss = with_text(ground.retain, config, ground.effort.beside) if beside else next_token_loss
    fitted = (how or last_blocks)(own, data, config, loss)
    if fitted.diverged:
        raise NotCarriedOutError(f"its training diverged in step {fitted.steps + 1} of {config.steps}")
    return ground.tried(own.eval(), detail or f"{config.steps} steps at {lr:g}")


def last_blocks(model: Model, task: Task, config: TrainConfig, loss: Loss) -> Fit:
    """Train the last third of the blocks, in place."""
    there = getattr(model, "blocks", ())
    if not len(there):
        raise UsageError(f"{type(model).__name__} has no blocks that could be trained")
    with only_the_last(model, -(-len(there) // PART)):
        return fit(model, task, config, loss=loss)


def low_rank(model: Model, task: Task, config: TrainConfig, loss: Loss) -> Fit:
    """Train low-rank updates of all linear maps of all blocks, in place; see measure/attacks/lora."""
    updating(model, model.neurons().values(), config.seed)
    return fit(model, task, config, loss=loss)


def with_text(texts: Texts, config: TrainConfig, n: int) -> Loss:
    """The loss on the data plus that on n strings of text in every step."""
    stream = batches(texts, replace(config, batch_size=n, seed=config.seed + 1))

    def loss(model: Model, batch: Batch, task: Task) -> Tensor:
        text = Batch(*(part.to(config.device) for part in next(stream)))
        return next_token_loss(model, batch, task) + next_token_loss(model, text, texts)

    return loss
