"""The steps of a stack: data, losses and gradients of all, then each training's own bookkeeping and optimizer."""

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
    """Trainings that should go together do not."""


Ended = Callable[[Training, BaseException | None], object]
AtWork = Callable[[Sequence[Training]], object]


def carry_out(trainings: Iterable[Training], ended: Ended, at_work: AtWork = lambda _: None) -> list[Training]:
    """Carry trainings of one `kind` out together, each from the step that it has come to; `ended` is told of each.

    at_work: told which of them the time from now on is spent on. One that ends before the others keeps its place until half of
    them have ended: a new stack costs new buffers, and on a GPU a new capture. Where the memory of the GPU is too small, they go
    on in two stacks. Gives those that must go on alone, from where they are: the last one left; or all, where something else goes
    wrong (a task that cannot be drawn from): it hits no others.
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
        with suppress(StackWarning):  # raised under -W error: they go on all the same
            warnings.warn(what, StackWarning, stacklevel=2)
        break
    return active


def _in_one(active: list[Training], ended: Ended, at_work: AtWork) -> tuple[list[Training], Exception | None]:
    """Go on in one stack until half of them have ended: those left, each by itself, and why no further, if not for that."""
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
    """Whether a released training's model is where it is trained; if there is no room for it, its training ends with that."""
    try:
        Stack.bring_back(training)
    except torch.OutOfMemoryError as error:
        ended(training, _bare(error))
        return False
    return True


def _bare(error: Exception) -> Exception:
    """Without the frames, which would hold on to the tensors."""
    one: BaseException | None = error
    while one is not None:
        one = one.with_traceback(None).__context__
    return error


def _no_memory(error: BaseException | None) -> bool:
    """Whether the GPU's memory is too small: what fails within a capture is followed by an error of the capture's own."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError) or "CUBLAS_STATUS_ALLOC_FAILED" in str(error):
            return True
        error = error.__context__
    return False


def give_back() -> None:
    """Have the GPU's memory that nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class _Steps:
    """One stack's steps, until it is taken apart."""

    def __init__(self, stack: Stack, at_work: AtWork) -> None:
        self.stack, self.active, self._at_work = stack, list(stack.trainings), at_work
        self._device = self.active[0].config.device
        self._answer_pos = self.active[0].task.answer_pos
        self._span: tuple[int, int] | None = None
        self._tokens = self._targets = torch.empty(0)
        # SGD takes its learning rate as a number, which a graph would hold on to.
        adam = all(training.config.optimizer == "adamw" for training in self.active)
        self._gradients = Captured(self._compute, self._device)
        self._optimize = Captured(self._update, self._device if adam else "cpu")

    def run_until(self, left: int, ended: Ended) -> Exception | None:
        """Go on until at most so many are left, or one has no step left; why it cannot go on with them together, if so."""
        batches = streams(self.stack.trainings, workers=drawing_processes(self._device, len(self.stack.trainings)))
        begun = False
        while len(self.active) > left:
            try:  # whatever may fail for all of them: so far nothing of the step is done
                if not begun:
                    Context().run(self._ready)  # nobody counts these steps
                    begun = True
                drawn = next(batches, None)
                if drawn is None:
                    return None
                self._load(drawn)
                figures = self._gradients()
                self._optimize.prepare()
                losses, norms = figures.tolist()  # the one moment at which a GPU is waited for
            except Exception as error:
                return _bare(error)
            for training, raised in self._after(losses, norms, [batch.tokens for batch in drawn]):
                if raised is not None or _is_back(training, ended):
                    ended(training, raised)
                self._at_work(self.active)
        return None

    def _ready(self) -> None:
        """Have optimizers take the memory for their state before the first step: in its midst, some would be done, some not."""
        for training in self.active:
            optimizer = training.optimizer
            for group in optimizer.param_groups:
                adam = self._device.startswith("cuda") and training.config.optimizer == "adamw"
                group["lr"] = torch.zeros((), device=self._device) if adam else 0.0  # until the first step sets it
            if optimizer.state:
                continue  # it goes on from an earlier step
            try:
                optimizer.step()  # of rate 0 and without gradients: it changes nothing
            except BaseException:
                optimizer.state.clear()
                raise
            for state in optimizer.state.values():
                if "step" in state:
                    state["step"].zero_()

    def _after(
        self, losses: list[float], norms: list[float], tokens: list[Tensor]
    ) -> list[tuple[Training, BaseException | None]]:
        """The rest of a step; the trainings that it was the last one for, with what was raised by those who watched them."""
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
        if span != self._span:  # other shapes: what was captured does not fit
            self._span = span
            self._gradients = Captured(self._compute, self._device)
        self._tokens.copy_(tokens, non_blocking=True)
        self._targets.copy_(targets, non_blocking=True)

    def _compute(self) -> Tensor:
        return self.stack.gradients(self._tokens, self._targets, self._span or (0, 0))

    def _update(self) -> None:
        for training in self.stack.trainings:
            training.optimizer.step()  # without gradients, of one that has ended, it does nothing
