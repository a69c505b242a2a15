"""Implanting a capability in a language model: only the last blocks are trained, and what else it says is held to what it said.

Stops as soon as the capability is learned: a model that is sure of every answer gives methods that unlearn no gradient.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.errors import MethodError, UsageError
from capbench.measure.language.answers import accuracy
from capbench.methods.common import another_seed
from capbench.models.base import Model
from capbench.tasks.base import Batch, Task
from capbench.tasks.language.implanting import Implant
from capbench.tasks.language.streams import Prompts
from capbench.tasks.padding import PAD
from capbench.training.last_blocks import only_the_last
from capbench.training.loop import Fit, Loss, Training, batches, next_token_loss

BLOCKS, KL, GOAL, EVERY = 10, 1.0, 0.97, 5


@dataclass
class Taught:
    """fit: the training. curve: (step, accuracy on the prompts that tell when it is learned). reached: whether it got there."""

    fit: Fit
    goal: float
    curve: list[tuple[int, float]] = field(default_factory=list)

    @property
    def reached(self) -> bool:
        return bool(self.curve) and self.curve[-1][1] >= self.goal


def implant(
    model: Model,
    task: Implant,
    config: TrainConfig,
    *,
    blocks: int = BLOCKS,
    kl: float = KL,
    goal: float = GOAL,
    every: int = EVERY,
) -> Model:
    """A copy of the model that has the capability; see `teach`. Raises MethodError where it was not learned."""
    taught = copy.deepcopy(model)
    found = teach(taught, task, config, blocks=blocks, kl=kl, goal=goal, every=every)
    if not found.reached:
        best = max((score for _, score in found.curve), default=0.0)
        how = " until it diverged" if found.fit.diverged else ""
        raise MethodError(
            f"implant: {task.target.name} was not learned: accuracy {best:.2f} on its selection split in {found.fit.steps} of "
            f"{config.steps} steps{how}, and {goal} is wanted; give more steps, more blocks or another learning rate"
        )
    return taught


def teach(
    model: Model,
    task: Implant,
    config: TrainConfig,
    *,
    blocks: int = BLOCKS,
    kl: float = KL,
    goal: float = GOAL,
    every: int = EVERY,
) -> Taught:
    """Train the last blocks of a model, in place, until its accuracy on `task.select` is `goal`, or the steps are over.

    The loss is that of the answers, plus `kl` times the mean divergence KL(before || now) of the next token, in nats, over the
    tokens of texts and of other prompts; each has half a batch. blocks: how many are trained, all if there are fewer; embeddings
    and the final norm are not. every: steps between two looks at the accuracy.
    """
    if blocks < 1 or every < 1 or kl < 0 or not 0 < goal <= 1:
        raise UsageError(
            f"implant: blocks {blocks} and every {every} must be at least 1, kl {kl} at least 0, goal {goal} in (0, 1]"
        )
    with only_the_last(model, blocks):
        # Weights that are not trained are shared with the copy.
        shared: dict[int, object] = {id(p): p for p in model.parameters() if not p.requires_grad}
        before = copy.deepcopy(model, shared).to(config.device).eval() if kl else None
        kept = _Kept(task, config)

        def loss(model: Model, batch: Batch, stream: Task) -> Tensor:
            found = next_token_loss(model, batch, stream)
            return found if before is None else found + kl * kept.divergence(before, model)

        training = _Until(model, task.target, config, loss, task.select, goal, every)
        training.run()
        model.eval()
    return training.taught


class _Until(Training):
    """A training that looks at its accuracy every few steps, and ends when it is reached."""

    def __init__(
        self, model: Model, task: Task, config: TrainConfig, loss: Loss, select: Prompts, goal: float, every: int
    ) -> None:
        super().__init__(model, task, config, loss, resumable=False)
        self.taught = Taught(self.result, goal)
        self._select, self._every = select, every

    def stepped(self) -> bool:
        goes_on = super().stepped()
        steps = self.result.steps
        if steps % self._every == 0 or not goes_on:
            self.taught.curve.append((steps, accuracy(self.model, self._select)))
        return goes_on and not self.taught.reached


class _Kept:
    """What is held to what the model said before: a batch of texts and one of prompts for every step."""

    def __init__(self, task: Implant, config: TrainConfig) -> None:
        half = replace(config, batch_size=max(1, config.batch_size // 2))
        self._streams = [
            batches(stream, replace(half, seed=another_seed(config.seed, number)))
            for number, stream in enumerate((task.retain, task.others), 1)
            if stream is not None
        ]
        self._config = config

    def divergence(self, before: Model, now: Model) -> Float[Tensor, ""]:
        """The mean over the tokens of the next batch of each."""
        sums, n = list[Tensor](), 0
        for stream in self._streams:
            tokens = next(stream).tokens.to(self._config.device)
            with torch.no_grad():
                was = before(tokens)[tokens != PAD].log_softmax(-1)
            own = now(tokens)[tokens != PAD].log_softmax(-1)
            sums.append(F.kl_div(own, was, reduction="sum", log_target=True))
            n += len(was)
        return torch.stack(sums).sum() / n
