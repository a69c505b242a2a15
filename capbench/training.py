"""The one training loop: AdamW or SGD, warm-up and cosine, clipping, curves; divergence is a result, not a crash."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.tasks.base import IGNORE, Batch, Task

Loss = Callable[[Model, Batch, Task], Tensor]


@dataclass
class Fit:
    """What a training left behind: per-step loss and gradient norm (before clipping), and whether it diverged."""

    steps: int = 0
    diverged: bool = False
    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)


# Called after every step with (steps done, model); returning True ends the training early.
Observer = Callable[[int, Model], bool]
_observer: ContextVar[tuple[Observer, list[Fit]] | None] = ContextVar("capbench_observer", default=None)


@contextlib.contextmanager
def observing(observer: Observer) -> Iterator[list[Fit]]:
    """Watch every `fit` (or `checkpoint`) in this block: so curves are recorded without a method knowing of them.

    Gives the list to which every `fit` in the block adds its result.
    """
    fits: list[Fit] = []
    token = _observer.set((observer, fits))
    try:
        yield fits
    finally:
        _observer.reset(token)


def checkpoint(step: int, model: Model) -> bool:
    """For methods with a loop of their own: report a finished step. True means that the observer has seen enough."""
    watched = _observer.get()
    return bool(watched and watched[0](step, model))


def next_token_loss(model: Model, batch: Batch, task: Task) -> Tensor:
    """Mean cross-entropy of the targets, plus answer_weight times that of the answer, where there are other targets.

    The answer is one token among many; at small scale it needs its own weight to be learnt in the time given.
    """
    answers = batch.targets[:, task.answer_pos]
    rest = batch.targets.clone()
    rest[:, task.answer_pos] = IGNORE
    used = (rest != IGNORE).any(0).nonzero().flatten()
    if not len(used):
        return F.cross_entropy(model.answer_logits(batch.tokens, task.answer_pos), answers)
    logits = model(batch.tokens)
    answer = F.cross_entropy(logits[:, task.answer_pos], answers)
    others = F.cross_entropy(logits[:, used].flatten(0, 1), rest[:, used].flatten(), ignore_index=IGNORE)
    return others + task.answer_weight * answer


def fit(model: Model, task: Task, config: TrainConfig, *, loss: Loss = next_token_loss) -> Fit:
    """Train `model` in place on the task's stream; only parameters with requires_grad change.

    Ends early when the observer says so, or when the loss or gradient norm is no longer finite (`diverged`).
    """
    rng = torch.Generator().manual_seed(config.seed)
    model.to(config.device).train()
    optimizer = _optimizer(model, config)
    result = Fit()
    watched = _observer.get()
    if watched:
        watched[1].append(result)
    for step, batch in zip(range(config.steps), _batches(task, config, rng), strict=False):
        lr = config.lr_at(step)
        for group in optimizer.param_groups:
            group["lr"] = lr
        value = loss(model, batch, task)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        result.losses.append(float(value.detach()))
        result.grad_norms.append(float(norm))
        if not (math.isfinite(result.losses[-1]) and math.isfinite(result.grad_norms[-1])):
            result.diverged = True
            break
        optimizer.step()
        result.steps = step + 1
        if checkpoint(step + 1, model):
            break
    model.eval()
    return result


def _optimizer(model: Model, config: TrainConfig) -> torch.optim.Optimizer:
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise UsageError("nothing to train: no parameter has requires_grad")
    if config.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=config.lr, momentum=config.momentum, foreach=True)
    # Matrices decay, biases and norms do not (GPT-3's convention, as in minGPT).
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def _batches(task: Task, config: TrainConfig, rng: torch.Generator) -> Iterator[Batch]:
    """Batches cut from larger draws, since drawing has a cost per call."""
    per_draw = 16
    while True:
        tokens, targets = task.sample(per_draw * config.batch_size, rng)
        tokens, targets = tokens.to(config.device), targets.to(config.device)
        for pair in zip(tokens.split(config.batch_size), targets.split(config.batch_size), strict=True):
            yield Batch(*pair)
