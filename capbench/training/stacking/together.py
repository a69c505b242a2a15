"""Run several functions whose trainings are stacked; the functions need not know about each other or about stacks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import torch
from torch._C._autograd import _top_saved_tensors_default_hooks  # torch has no public API for these three
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
_LOOK = 0.2  # seconds between checks for an interruption


@dataclass(frozen=True, kw_only=True)
class Run:
    """The arguments of one `fit`."""

    model: Model
    task: Task
    config: TrainConfig


def fit_stacked(runs: Sequence[Run]) -> list[Fit]:
    """`fit` for several models, in place: those of the same architecture and batch size share one batched pass per step.

    Each has its own data, learning rates, end and result, equal to those of a single fit within float32 tolerance.
    """
    found = together([lambda run=run: fit(run.model, run.task, run.config) for run in runs])  # type: ignore[misc]
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return cast(list[Fit], found)


def together(functions: Sequence[Callable[[], T]], *, most: int = 64) -> list[T | BaseException]:
    """What the functions return or raise, in order. Their trainings by `fit` are stacked if they are of one `stack.kind`.

    most: models in one stack. Only one function runs at a time, as if they were called one after another; each has a thread only
    so that it can wait for its training.
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
    except BaseException as error:  # an interruption: no thread may be left waiting
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
    """A thread that runs only from `go_on` until its function waits for a training or ends."""

    def __init__(self, function: Callable[[], T], sharing: Sharing) -> None:
        self.waiting: Training | None = None
        self.watch, self._sharing = Stopwatch(sharing), sharing
        self._function, self._context, self._threads = function, copy_context(), torch.get_num_threads()
        self._context.run(share.current.set, self.watch)
        self._within = self._context  # a copy of the function's context while it waits for its training
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self._running = self._stopped = False
        self._outcome: list[T | BaseException] = []
        self._thread = threading.Thread(target=self._context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def go_on(self, error: BaseException | None = None) -> None:
        """Resume the function, or raise the error where it waits; returns when it waits again or has ended."""
        self._error, self._running = error, True
        with self._timed():
            self._go.release()
            while not self._paused.acquire(timeout=_LOOK):  # a signal just before the wait does not end it
                pass

    def go_on_alone(self) -> None:
        """As `go_on`, but first do the training that it waits for.

        Done in the main thread, as only there an interruption is raised.
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
        """End the function wherever it is, and wait until it has cleaned up."""
        self._error, self._stopped = error, True
        if self._running and self._thread.ident is not None:  # in its own loop, which nothing else can end
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
        """Book the time spent in this block on this function."""
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
            del error  # its frames, including this one, keep the training's tensors alive

    def _wait_for(self, training: Training) -> None:
        """Called by `fit` in this thread, instead of `Training.run`."""
        if training.result.steps >= training.config.steps:
            return  # nothing to do, or everything was done before an interruption
        if _set_in_this_thread():
            return training.run()
        self.waiting, self._within = training, copy_context()
        self._pause()
        try:
            self._wait()
        finally:
            self.waiting = None


def _set_in_this_thread() -> bool:
    """Whether the function changed how torch computes in its thread; its training must then run in that thread.

    By autocast, no_grad, a default device or another mode, or hooks on saved tensors (save_on_cpu).
    """
    cast = any(torch.is_autocast_enabled(device) for device in ("cpu", "cuda"))
    modes = _get_current_function_mode_stack() or _get_current_dispatch_mode_stack()
    return cast or not torch.is_grad_enabled() or bool(modes) or _top_saved_tensors_default_hooks(True) is not None


def _alone(training: Training) -> None:
    with carried_out(Training.run):  # also for trainings by an observer, which has no thread to wait in
        training.run()
