"""The one training loop: AdamW or SGD, warm-up and cosine, clipping, curves; divergence is a result, not a crash."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

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


class Keeper(Protocol):
    """Keeps the state of trainings, so that one that was interrupted goes on from there (pipeline/snapshots.py does so)."""

    def begin(self, model: Model, config: TrainConfig, *, resumable: bool) -> Mapping[str, Tensor] | None:
        """Called before the first step of every training: the state that was kept of this very one, if any."""

    def due(self) -> bool:
        """Asked after every step, when the observer has seen it: whether to keep the state now."""

    def keep(self, steps: int, state: Mapping[str, Tensor]) -> None:
        """Keep the state after so many steps. Its tensors are the training's own: they change with the next step."""


_keeper: ContextVar[Keeper | None] = ContextVar("capbench_keeper", default=None)


@contextlib.contextmanager
def keeping(keeper: Keeper) -> Iterator[None]:
    """Every `fit` in this block keeps its state with the keeper now and then, and goes on from what it kept before."""
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)


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


def fit(
    model: Model, task: Task, config: TrainConfig, *, loss: Loss = next_token_loss, resumable: bool | None = None
) -> Fit:
    """Train `model` in place on the task's stream; only parameters with requires_grad change.

    Ends early when the observer says so, or when the loss or gradient norm is no longer finite (`diverged`).
    resumable: whether it may go on from a kept state after an interruption, with the same bits as without one. That state is
    the model's, the optimizer's, the step (which gives the data) and the observer's. Whatever else changes from step to step,
    as a loss that draws from a generator of its own, would be lost: so by default only a training with the default loss is.
    A loss that is a function of its arguments and of constants may say True; hooks or a task that remember must say False.
    """
    model.to(config.device).train()
    optimizer = _optimizer(model, config)
    result = Fit()
    keeper = _keeper.get()
    if keeper is not None:
        kept = keeper.begin(model, config, resumable=loss is next_token_loss if resumable is None else resumable)
        if kept is not None:
            _restore(kept, model, optimizer, result)
    watched = _observer.get()
    if watched:
        watched[1].append(result)
    drawn = batches(task, config, workers=_workers(config.device), start=result.steps)
    for step, batch in zip(range(result.steps, config.steps), drawn, strict=False):
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
        if keeper is not None and keeper.due():
            keeper.keep(step + 1, _state(model, optimizer, result))
    model.eval()
    return result


def _state(model: Model, optimizer: torch.optim.Optimizer, result: Fit) -> dict[str, Tensor]:
    """What a training is after a step, but for its data: draws have generators of their own, by number."""
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for i, parameter in enumerate(_trained(optimizer)):
        for name, value in optimizer.state[parameter].items():
            if isinstance(value, Tensor):  # SGD without momentum has a None here
                state[f"optimizer.{i}.{name}"] = value
    state["losses"] = torch.tensor(result.losses, dtype=torch.float64)
    state["grad_norms"] = torch.tensor(result.grad_norms, dtype=torch.float64)
    return state


def _restore(state: Mapping[str, Tensor], model: Model, optimizer: torch.optim.Optimizer, result: Fit) -> None:
    """The opposite of `_state`."""
    model.load_state_dict({n.removeprefix("model."): t for n, t in state.items() if n.startswith("model.")})
    trained = _trained(optimizer)
    for key, value in state.items():
        if key.startswith("optimizer."):
            _, i, name = key.split(".", 2)
            optimizer.state[trained[int(i)]][name] = value.to(trained[int(i)].device)
    result.losses, result.grad_norms = state["losses"].tolist(), state["grad_norms"].tolist()
    result.steps = len(result.losses)


def _trained(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


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


def batches(task: Task, config: TrainConfig, *, workers: int = 0, start: int = 0) -> Iterator[Batch]:
    """One batch per step, on the CPU. Draw i has a generator of its own, so other processes may draw ahead (`workers`)

    and the data stay the same. start: the first step that is wanted; what lies before it costs at most one draw.
    """
    draws, skipped = _Draws(task, config), start % _PER_DRAW
    loader = DataLoader(
        draws,
        batch_size=None,
        sampler=range(start // _PER_DRAW, len(draws)),
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,  # a forked jax or torch may hang
        pin_memory=workers > 0 and torch.cuda.is_available(),
        generator=torch.Generator(),  # the loader's own, never used: else it would draw from the global one
    )
    for tokens, targets in loader:
        pairs = zip(tokens.split(config.batch_size), targets.split(config.batch_size), strict=True)
        for pair in itertools.islice(pairs, skipped, None):
            yield Batch(*pair)
        skipped = 0


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
