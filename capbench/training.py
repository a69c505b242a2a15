"""The one training loop: AdamW or SGD, warm-up and cosine, clipping, curves; divergence is a result, not a crash."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from capbench.configs import TrainConfig
from capbench.errors import UsageError
from capbench.models.base import Model
from capbench.tasks.base import IGNORE, Batch, Task

_PER_DRAW = 16  # batches that are drawn at once
_AHEAD = 2  # draws that each worker prepares

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
    model.to(config.device).train()
    optimizer = _optimizer(model, config)
    result = Fit()
    watched = _observer.get()
    if watched:
        watched[1].append(result)
    drawn = batches(task, config, workers=_workers(config.device))
    for step, batch in zip(range(config.steps), drawn, strict=False):
        batch = Batch(*(part.to(config.device, non_blocking=True) for part in batch))
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


def batches(task: Task, config: TrainConfig, *, workers: int = 0) -> Iterator[Batch]:
    """One batch per step, on the CPU. Draw i has a generator of its own, so other processes may draw ahead (`workers`)

    and the data stay the same.
    """
    loader = DataLoader(
        _Draws(task, config),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,  # a forked jax or torch may hang
        pin_memory=workers > 0 and torch.cuda.is_available(),
        generator=torch.Generator(),  # the loader's own, never used: else it would draw from the global one
    )
    for tokens, targets in loader:
        for pair in zip(tokens.split(config.batch_size), targets.split(config.batch_size), strict=True):
            yield Batch(*pair)


class _Draws(Dataset[Batch]):
    """Several batches at a time, since drawing has a cost per call."""

    def __init__(self, task: Task, config: TrainConfig) -> None:
        self._task, self._config = task, config

    def __len__(self) -> int:
        return -(-self._config.steps // _PER_DRAW)

    def __getitem__(self, i: int) -> Batch:
        seed = np.random.SeedSequence([self._config.seed, i]).generate_state(1, np.uint64)[0]
        return self._task.sample(_PER_DRAW * self._config.batch_size, torch.Generator().manual_seed(int(seed)))


def _workers(device: str) -> int:
    """How many processes draw data ahead: none on a CPU, which they would share with the training."""
    return 0 if device == "cpu" else max(1, min(8, len(os.sched_getaffinity(0)) - 1))
