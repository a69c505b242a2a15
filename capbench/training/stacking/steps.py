"""The steps of a stack: data, losses and gradients of all, then the bookkeeping and optimizer of each training."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import Context

import torch
from torch import Tensor

from capbench.tasks.base import Batch
from capbench.training.loop import Training, drawing_processes, streams
from capbench.training.stacking.graphs import Captured
from capbench.training.stacking.stack import Stack, span_of


class StackWarning(UserWarning):
    """Trainings that should be stacked are not."""


Ended = Callable[[Training, BaseException | None], object]
AtWork = Callable[[Sequence[Training]], object]


def carry_out(trainings: Iterable[Training], ended: Ended, at_work: AtWork = lambda _: None) -> list[Training]:
    """Train together trainings of one `kind`, each from its current step; `ended` is called for each.

    at_work: called with the trainings that use the time from now on. A training that ends keeps its place in the stack until
    half of them have ended: a new stack costs new buffers, and on a GPU a new capture. If GPU memory is too small, they
    continue in two stacks. Returns those that must continue alone from their current step: the last one left, or all if
    something else fails (such as a task that cannot be sampled), so that the fault hits no other training.
    """
    active = list(trainings)
    while len(active) > 1:
        at_work(active)
        active, error = _in_one(active, ended, at_work)
        if error is not None:
            give_back()
        active = [training for training in active if _is_back(training, ended)]
        if error is None:
            continue
        if _no_memory(error) and len(active) > 1:
            half = len(active) // 2
            return [*carry_out(active[:half], ended, at_work), *carry_out(active[half:], ended, at_work)]
        what = f"{len(active)} trainings cannot be stacked, so they run one at a time: {error!r}"
        with suppress(StackWarning):  # raised under -W error: they continue nevertheless
            warnings.warn(what, StackWarning, stacklevel=2)
        break
    return active


def _in_one(active: list[Training], ended: Ended, at_work: AtWork) -> tuple[list[Training], Exception | None]:
    """Train in one stack until half of them have ended. Returns those left, released, and the error that stopped it, if any."""
    try:
        stack = Stack(active)
    except Exception as error:
        return active, _bare(error)
    steps = _Steps(stack, at_work)
    found = steps.run_until(len(active) // 2, ended)
    for training in steps.active:
        stack.release(training)
    return steps.active, found


def _is_back(training: Training, ended: Ended) -> bool:
    """Move a released training's model back to its device. False if there is no memory for it: then its training has ended."""
    try:
        Stack.bring_back(training)
    except torch.OutOfMemoryError as error:
        ended(training, _bare(error))
        return False
    return True


def _bare(error: Exception) -> Exception:
    """The error without tracebacks, whose frames keep tensors alive."""
    one: BaseException | None = error
    while one is not None:
        one = one.with_traceback(None).__context__
    return error


def _no_memory(error: BaseException | None) -> bool:
    """Whether the GPU ran out of memory; a failure within a capture is followed by an error of the capture itself."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or "CUBLAS_STATUS_ALLOC_FAILED" in str(error):
            return True
        error = error.__context__
    return False


def give_back() -> None:
    """Release GPU memory that is no longer referenced."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Steps:
    """The steps of one stack."""

    def __init__(self, stack: Stack, at_work: AtWork) -> None:
        self.stack, self.active, self._at_work = stack, list(stack.trainings), at_work
        self._device = self.active[0].config.device
        self._answer_pos = self.active[0].task.answer_pos
        self._span: tuple[int, int] | None = None
        self._tokens = self._targets = torch.empty(0)
        # SGD takes its learning rate as a number, which a graph would freeze.
        adam = all(training.config.optimizer == "adamw" for training in self.active)
        self._gradients = Captured(self._compute, self._device)
        self._optimize = Captured(self._update, self._device if adam else "cpu")

    def run_until(self, left: int, ended: Ended) -> Exception | None:
        """Train until at most `left` are active, or one has no step left. Returns the error that prevents stacking, if any."""
        batches = streams(self.stack.trainings, workers=drawing_processes(self._device, len(self.stack.trainings)))
        begun = False
        while len(self.active) > left:
            try:  # an error here concerns all of them; nothing of the step is done yet
                if not begun:
                    Context().run(self._ready)  # in an empty context, so these steps are not counted
                    begun = True
                drawn = next(batches, None)
                if drawn is None:
                    return None
                self._load(drawn)
                figures = self._gradients()
                self._optimize.prepare()
                losses, norms = figures.tolist()  # the only synchronisation with a GPU
            except Exception as error:
                return _bare(error)
            for training, raised in self._after(losses, norms, [batch.tokens for batch in drawn]):
                if raised is not None or _is_back(training, ended):
                    ended(training, raised)
                self._at_work(self.active)
        return None

    def _ready(self) -> None:
        """Make optimizers allocate their state first: running out of memory within a step would leave it half done."""
        for training in self.active:
            optimizer = training.optimizer
            for group in optimizer.param_groups:
                adam = self._device.startswith("cuda") and training.config.optimizer == "adamw"
                group["lr"] = torch.zeros((), device=self._device) if adam else 0.0  # until the first step sets it
            if optimizer.state:
                continue  # resumed from an earlier step
            try:
                optimizer.step()  # with rate 0 and no gradients: changes nothing
            except BaseException:
                optimizer.state.clear()
                raise
            for state in optimizer.state.values():
                if "step" in state:
                    state["step"].zero_()

    def _after(
        self, losses: list[float], norms: list[float], tokens: list[Tensor]
    ) -> list[tuple[Training, BaseException | None]]:
        """The rest of a step. Returns the trainings that ended, each with the exception raised by its observer, if any."""
        ended: list[tuple[Training, BaseException | None]] = []
        for training, loss, norm in zip(self.stack.trainings, losses, norms, strict=True):
            if training in self.active:
                training.set_lr()
                if not training.seen(loss, norm):
                    self._end(training, None, ended)
        self._optimize()
        for training, its in zip(self.stack.trainings, tokens, strict=True):
            if training in self.active:
                error: BaseException | None = None
                goes_on = False
                try:
                    training.tell(its)
                    goes_on = training.stepped()
                except KeyboardInterrupt:
                    raise
                except BaseException as found:
                    error = found
                if not goes_on:
                    self._end(training, error, ended)
        return ended

    def _end(
        self, training: Training, error: BaseException | None, ended: list[tuple[Training, BaseException | None]]
    ) -> None:
        self.stack.release(training)
        self.active.remove(training)
        ended.append((training, error))

    def _load(self, batches: list[Batch]) -> None:
        span = span_of(batches, self._answer_pos)
        tokens, targets = (torch.stack(parts) for parts in zip(*batches, strict=True))
        if self._span is None:
            self._tokens, self._targets = (part.to(self._device) for part in (tokens, targets))
            self._span = span
            return
        if span != self._span:  # other shapes: the captured graph does not fit
            self._span = span
            self._gradients = Captured(self._compute, self._device)
        self._tokens.copy_(tokens, non_blocking=True)
        self._targets.copy_(targets, non_blocking=True)

    def _compute(self) -> Tensor:
        return self.stack.gradients(self._tokens, self._targets, self._span or (0, 0))

    def _update(self) -> None:
        for training in self.stack.trainings:
            training.optimizer.step()  # does nothing for an ended training, which has no gradients
