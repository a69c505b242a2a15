"""Functions side by side, whose trainings are carried out together: they need not know of each other, nor of stacks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import torch
from torch._C._autograd import _top_saved_tensors_default_hooks  # torch has no public name for these three
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.tasks.base import Task
from capbench.training.loop import Fit, Training, carried_out, fit
from capbench.training.stacking import share
from capbench.training.stacking.share import Sharing, Stopwatch
from capbench.training.stacking.stack import kind
from capbench.training.stacking.steps import carry_out, give_back

T = TypeVar("T")
_LOOK = 0.2  # seconds between looks at whether the run was interrupted


@dataclass(frozen=True, kw_only=True)
class Run:
    """The arguments of one `fit`."""

    model: Model
    task: Task
    config: TrainConfig


def fit_stacked(runs: Sequence[Run]) -> list[Fit]:
    """`fit` for several models, in place: those of one architecture and batch size in one batched pass a step.

    Each has its own data, learning rates, end and result, equal to the single fit's within float32 tolerance.
    """
    found = together([lambda run=run: fit(run.model, run.task, run.config) for run in runs])  # type: ignore[misc]
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return cast(list[Fit], found)


def together(functions: Sequence[Callable[[], T]], *, most: int = 64) -> list[T | BaseException]:
    """What the functions return, or raise, in their order. Alike trainings (`stack.kind`) by `fit` in them go together.

    most: models in one stack. Only one function is at work at a time, so that they share this process as if they were called one
    after another; each has a thread of its own only to be able to wait for its training.
    """
    sharing = Sharing()
    workers = [_Worker(function, sharing) for function in functions]
    try:
        for worker in workers:
            worker.go_on()
        while waiting := [worker for worker in workers if worker.waiting is not None]:
            first = kind(_training(waiting[0]))
            alike = [w for w in waiting if first is not None and kind(_training(w)) == first][:most] or waiting[:1]
            _together({_training(worker): worker for worker in alike}, sharing)
    except BaseException as error:  # an interruption: nobody must be left waiting
        for worker in workers:
            worker.stop(error)
        raise
    return [worker.outcome() for worker in workers]


def _together(workers: Mapping[Training, _Worker[T]], sharing: Sharing) -> None:
    def at_work(trainings: Iterable[Training]) -> None:
        sharing.at_work = [workers[training].watch for training in trainings]

    left = carry_out(workers, lambda training, error: workers[training].go_on(error), at_work)
    sharing.at_work = ()
    for training in left:
        workers[training].go_on_alone()


def _training(worker: _Worker[T]) -> Training:
    return cast(Training, worker.waiting)


class _Worker(Generic[T]):
    """A thread that runs only between `go_on` and the moment when its function waits for a training, or has ended."""

    def __init__(self, function: Callable[[], T], sharing: Sharing) -> None:
        self.waiting: Training | None = None
        self.watch, self._sharing = Stopwatch(sharing), sharing
        self._function, self._context, self._threads = function, copy_context(), torch.get_num_threads()
        self._context.run(share.current.set, self.watch)
        self._within = self._context  # a copy of the function's own, while it waits for its training
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self._running = self._stopped = False
        self._outcome: list[T | BaseException] = []
        self._thread = threading.Thread(target=self._context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def go_on(self, error: BaseException | None = None) -> None:
        """Let the function go on, or have the error raised where it waits; back when it waits again, or has ended."""
        self._error, self._running = error, True
        with self._timed():
            self._go.release()
            while not self._paused.acquire(
                timeout=_LOOK
            ):  # a signal just before it begins to wait does not end the wait
                pass

    def go_on_alone(self) -> None:
        """As `go_on`, but the training that it waits for is not done.

        It is carried out here, and not where it is waited for: an interruption is raised in the main thread only.
        """
        training, error = _training(self), None
        try:
            with self._timed():
                self._within.run(_alone, training)
        except KeyboardInterrupt:
            raise
        except BaseException as found:
            error = found
        try:
            self.go_on(error)
        finally:
            if error is not None:
                del error  # as in `_wait`
                give_back()

    def stop(self, error: BaseException) -> None:
        """End the function, wherever it is, and wait until it has cleaned up."""
        self._error, self._stopped = error, True
        if self._running and self._thread.ident is not None:  # in a loop of its own, that nobody else can end
            interruption = ctypes.py_object(KeyboardInterrupt)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), interruption)
        self._go.release()
        self._thread.join()

    def outcome(self) -> T | BaseException:
        """What the function returned or raised."""
        self._thread.join()
        return self._outcome[0]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Time spent in this block is spent on this function."""
        before, self._sharing.at_work = self._sharing.at_work, (self.watch,)
        try:
            yield
        finally:
            self._sharing.at_work = before

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        try:
            self._wait()
            with carried_out(self._wait_for):
                self._outcome.append(self._function())
        except BaseException as error:
            self._outcome.append(error)
        finally:
            self._pause()

    def _pause(self) -> None:
        self._running = False
        self._paused.release()

    def _wait(self) -> None:
        if not self._stopped:
            self._go.acquire()
        error = self._error
        if not self._stopped:
            self._error = None
        try:
            if error is not None:
                raise error
        finally:
            del error  # whose frames, of which this is one, hold on to what the training was at

    def _wait_for(self, training: Training) -> None:
        """Instead of `Training.run`, called by `fit` in this thread."""
        if training.result.steps >= training.config.steps:
            return  # nothing to do, or all was done before an interruption
        if _set_in_this_thread():
            return training.run()
        self.waiting, self._within = training, copy_context()
        self._pause()
        try:
            self._wait()
        finally:
            self.waiting = None


def _set_in_this_thread() -> bool:
    """Whether the function has set how torch computes: only in its own thread is a training carried out so.

    By autocast, no_grad, a default device or another mode, or hooks on what is kept for the backward pass (save_on_cpu).
    """
    cast = any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
    modes = _get_current_function_mode_stack() or _get_current_dispatch_mode_stack()
    return cast or not torch.is_grad_enabled() or bool(modes) or _top_saved_tensors_default_hooks(True) is not None


def _alone(training: Training) -> None:
    with carried_out(Training.run):  # also what an observer trains meanwhile: it has no thread here that could wait
        training.run()
