"""The one training loop: AdamW or SGD, warm-up and cosine, clipping, curves; divergence is a result, not a crash."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from capbench.models.base import Model, passes, steps_elsewhere
from capbench.tasks.base import IGNORE, Batch, Task

_PER_DRAW = 16  # batches that are drawn at once
_AHEAD = 2  # draws prepared per training and per worker

Loss = Callable[[Model, Batch, Task], Tensor]


@dataclass
class Fit:
    """The result of a training: per-step loss and gradient norm (before clipping), and whether it diverged."""

    steps: int = 0
    diverged: bool = False
    losses: list[float] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)


# Called after every step with (steps done, model); returning True ends the training early.
Observer = Callable[[int, Model], bool]
_observer: ContextVar[tuple[Observer, list[Fit]] | None] = ContextVar("capbench_observer", default=None)


@contextlib.contextmanager
def observing(observer: Observer) -> Iterator[list[Fit]]:
    """Call the observer for every `fit` (or `checkpoint`) in this block: curves are recorded without the method's help.

    Yields a list to which every `fit` in the block adds its result.
    """
    fits: list[Fit] = []
    token = _observer.set((observer, fits))
    try:
        yield fits
    finally:
        _observer.reset(token)


def checkpoint(step: int, model: Model) -> bool:
    """For methods with their own loop: report a finished step. Returns True if the observer ends the training."""
    watched = _observer.get()
    return bool(watched and watched[0](step, model))


class Keeper(Protocol):
    """Saves the state of trainings, so that an interrupted one continues from there (implemented in pipeline/snapshots.py)."""

    def begin(self, model: Model, config: TrainConfig, *, resumable: bool) -> Mapping[str, Tensor] | None:
        """Called before the first step of every training; returns the saved state of the same training, if any."""

    def due(self) -> bool:
        """Called after every step and its observer: whether to save the state now."""

    def keep(self, steps: int, state: Mapping[str, Tensor]) -> None:
        """Save the state after this many steps. Its tensors belong to the training and change with the next step."""


_keeper: ContextVar[Keeper | None] = ContextVar("capbench_keeper", default=None)


@contextlib.contextmanager
def keeping(keeper: Keeper) -> Iterator[None]:
    """Every `fit` in this block saves its state with the keeper and continues from a state saved before."""
    token = _keeper.set(keeper)
    try:
        yield
    finally:
        _keeper.reset(token)


def next_token_loss(model: Model, batch: Batch, task: Task) -> Tensor:
    """Mean cross-entropy of the non-answer targets, plus answer_weight times that of the answer; without others, the answer's.

    The answer is one token among many; at small scale it needs its own weight to be learned in the given time.
    """
    answers = batch.targets[:, task.answer_pos]
    rest = batch.targets.clone()
    rest[:, task.answer_pos] = IGNORE
    used = (rest != IGNORE).any(0).nonzero().flatten().tolist()
    if not used:
        return _mean_loss(model.answer_logits(batch.tokens, task.answer_pos), answers)
    logits = model(batch.tokens)
    answer = _mean_loss(logits[:, task.answer_pos], answers)
    span = slice(used[0], used[-1] + 1)  # the backward pass of a slice is faster than that of an index
    return _mean_loss(logits[:, span].flatten(0, 1), rest[:, span].flatten()) + task.answer_weight * answer


def _mean_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over targets other than IGNORE; 0 without any."""
    return F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum") / (targets != IGNORE).sum().clamp(
        min=1
    )


def fit(
    model: Model, task: Task, config: TrainConfig, *, loss: Loss = next_token_loss, resumable: bool | None = None
) -> Fit:
    """Train `model` in place on the task's stream; only parameters with requires_grad change.

    Ends early if the observer returns True, or if the loss or gradient norm is not finite (`diverged`).
    resumable: whether an interrupted training may continue from a saved state, bit-identical to an uninterrupted one. Saved are
    the state of the model, the optimizer and the observer, and the step (which determines the data). Any other state, such as
    a generator of the loss, would be lost; so by default only trainings with the default loss are resumable. Pass True for a
    loss that depends only on its arguments and constants, False for stateful hooks or tasks.
    """
    training = Training(model, task, config, loss, loss is next_token_loss if resumable is None else resumable)
    (_way.get() or Training.run)(training)
    model.eval()
    return training.result


class Training:
    """One training, step by step: used by `fit`, alone (`run`) or together with others (stacking/).

    A step is: `set_lr`, loss and gradients, clipping; `seen` with their values; `optimizer.step()`; `stepped`.
    """

    def __init__(self, model: Model, task: Task, config: TrainConfig, loss: Loss, resumable: bool) -> None:
        model.to(config.device).train()
        self.model, self.task, self.config, self.loss = model, task, config, loss
        self.optimizer = _optimizer(model, config)
        self.result = Fit()
        self._keeper = _keeper.get()
        if self._keeper is not None:
            kept = self._keeper.begin(model, config, resumable=resumable)
            if kept is not None:
                _restore(kept, model, self.optimizer, self.result)
        watched = _observer.get()
        self._observer = watched[0] if watched else None
        if watched:
            watched[1].append(self.result)
        self._told = passes.get(), steps_elsewhere.get()

    def run(self) -> None:
        """Train alone."""
        config, model = self.config, self.model
        for (batch,) in streams([self], workers=drawing_processes(config.device)):
            batch = Batch(*(part.to(config.device, non_blocking=True) for part in batch))
            self.set_lr()
            with computing(config):
                value = self.loss(model, batch, self.task)
            self.optimizer.zero_grad(set_to_none=True)
            value.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            if not self.seen(float(value.detach()), float(norm)):
                break
            self.optimizer.step()
            if not self.stepped():
                break

    def set_lr(self) -> None:
        """Set the optimizer's learning rate for the next step."""
        lr = self.config.lr_at(self.result.steps)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # on the device, where a captured graph reads it
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def seen(self, loss: float, grad_norm: float) -> bool:
        """Record a step's loss and gradient norm, before the optimizer's step. False: the training diverged and ends."""
        self.result.losses.append(loss)
        self.result.grad_norms.append(grad_norm)
        self.result.diverged = not (math.isfinite(loss) and math.isfinite(grad_norm))
        return not self.result.diverged

    def stepped(self) -> bool:
        """After the optimizer's step: call the observer, and save the state if due. False: the training ends."""
        self.result.steps += 1
        if self._observer is not None and self._observer(self.result.steps, self.model):
            return False
        if self._keeper is not None and self._keeper.due():
            self._keeper.keep(self.result.steps, _state(self.model, self.optimizer, self.result))
        return self.result.steps < self.config.steps

    def tell(self, tokens: Tensor) -> None:
        """Count a step that is carried out elsewhere, with the tokens of its batch."""
        on_pass, on_step = self._told
        if on_pass is not None:
            on_pass(tokens)
        if on_step is not None:
            on_step()


Way = Callable[[Training], object]
_way: ContextVar[Way | None] = ContextVar("capbench_way", default=None)


@contextlib.contextmanager
def carried_out(way: Way) -> Iterator[None]:
    """Every `fit` in this block is carried out by `way` instead of `Training.run`."""
    token = _way.set(way)
    try:
        yield
    finally:
        _way.reset(token)


def computing(config: TrainConfig) -> contextlib.AbstractContextManager[object]:
    """The precision of losses and their gradients. Weights, gradients and optimizer state are always float32."""
    if config.precision == "float32":
        return contextlib.nullcontext()
    # Each weight is used once per pass, so a cache of cast weights gains nothing; CUDA graphs must not have one.
    return torch.autocast(config.device.partition(":")[0], torch.bfloat16, cache_enabled=False)


def _state(model: Model, optimizer: torch.optim.Optimizer, result: Fit) -> dict[str, Tensor]:
    """The state of a training after a step. Its data need none: each draw has its own generator, by number."""
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for i, parameter in enumerate(_trained(optimizer)):
        for name, value in optimizer.state[parameter].items():
            if isinstance(value, Tensor):  # None for SGD without momentum
                state[f"optimizer.{i}.{name}"] = value
    state["losses"] = torch.tensor(result.losses, dtype=torch.float64)
    state["grad_norms"] = torch.tensor(result.grad_norms, dtype=torch.float64)
    return state


def _restore(state: Mapping[str, Tensor], model: Model, optimizer: torch.optim.Optimizer, result: Fit) -> None:
    """The inverse of `_state`."""
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
    capturable = config.device != "cpu"  # in a CUDA graph
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True, capturable=capturable)


def batches(task: Task, config: TrainConfig, *, workers: int = 0, start: int = 0) -> Iterator[Batch]:
    """The batches of a training on this task, one per step, from step `start`; on the CPU."""
    for (batch,) in streams([_Stream(task, config, Fit(steps=start))], workers=workers):
        yield batch


class Streamed(Protocol):
    """What batches are drawn for: a training, from its current step."""

    @property
    def task(self) -> Task: ...
    @property
    def config(self) -> TrainConfig: ...
    @property
    def result(self) -> Fit: ...


@dataclass(frozen=True)
class _Stream:
    task: Task
    config: TrainConfig
    result: Fit


def streams(of: Sequence[Streamed], *, workers: int = 0) -> Iterator[list[Batch]]:
    """The next batch of each, on the CPU, step by step, until the first of them has no step left.

    Draw i of a training has its own generator, so worker processes may draw ahead without changing the data. A training that
    resumes within a draw repeats that draw.
    """
    begun = [one.result.steps for one in of]
    left = min(one.config.steps - start for one, start in zip(of, begun, strict=True))

    def drawn_at(step: int) -> list[tuple[int, int]]:  # (training, draw)
        return [
            (i, (start + step) // _PER_DRAW)
            for i, start in enumerate(begun)
            if step == 0 or (start + step) % _PER_DRAW == 0
        ]

    loader = iter(
        DataLoader(
            _Draws([(one.task, one.config) for one in of]),
            batch_size=None,
            sampler=[which for step in range(left) for which in drawn_at(step)],
            num_workers=workers,
            prefetch_factor=-(-_AHEAD * max(workers, len(of)) // workers) if workers else None,
            multiprocessing_context="spawn" if workers else None,  # a forked jax or torch may hang
            pin_memory=workers > 0 and torch.cuda.is_available(),
            generator=torch.Generator(),  # never used, but otherwise the loader draws from the global one
        )
    )
    waiting: dict[int, Iterator[tuple[Tensor, Tensor]]] = {}
    for step in range(left):
        for i, _ in drawn_at(step):
            tokens, targets = next(loader)
            size = of[i].config.batch_size
            pairs = zip(tokens.split(size), targets.split(size), strict=True)
            waiting[i] = itertools.islice(pairs, (begun[i] + step) % _PER_DRAW, None)
        yield [Batch(*next(waiting[i])) for i in range(len(of))]


class _Draws(Dataset[Batch]):
    """Several batches per draw, as every call has a fixed cost."""

    def __init__(self, of: Sequence[tuple[Task, TrainConfig]]) -> None:
        self._of = of

    def __getitem__(self, which: tuple[int, int]) -> Batch:
        whose, i = which
        task, config = self._of[whose]
        seed = np.random.SeedSequence([config.seed, i]).generate_state(1, np.uint64)[0]
        return task.sample(_PER_DRAW * config.batch_size, torch.Generator().manual_seed(int(seed)))


def drawing_processes(device: str, trainings: int = 1) -> int:
    """How many processes draw data ahead for this many trainings: none on a CPU, which they would share.

    At the paper's scale a batch of texts with a correlation takes a core about 20 ms; a stack of 16 trainings needs 16 a step.
    """
    return 0 if device == "cpu" else max(1, min(16, 2 * trainings, len(os.sched_getaffinity(0)) - 1))
