"""Functions side by side, whose trainings are carried out together: they need not know of each other, nor of stacks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import torch

from capbench.configs import TrainConfig
from capbench.models.base import Model
from capbench.stacking.stack import kind
from capbench.stacking.steps import carry_out
from capbench.tasks.base import Task
from capbench.training import Fit, Training, carried_out, fit

T = TypeVar("T")


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
    workers = [_Worker(function) for function in functions]
    try:
        for worker in workers:
            worker.go_on()
        while waiting := [worker for worker in workers if worker.waiting is not None]:
            first = kind(_training(waiting[0]))
            alike = [w for w in waiting if first is not None and kind(_training(w)) == first][:most] or waiting[:1]
            _together({_training(worker): worker for worker in alike})
    except BaseException as error:  # an interruption: nobody must be left waiting
        for worker in workers:
            worker.stop(error)
        raise
    return [worker.outcome() for worker in workers]


def _together(workers: Mapping[Training, _Worker[T]]) -> None:
    for training in carry_out(workers, lambda training, error: workers[training].go_on(error)):
        workers[training].go_on_alone()


def _training(worker: _Worker[T]) -> Training:
    return cast(Training, worker.waiting)


class _Worker(Generic[T]):
    """A thread that runs only between `go_on` and the moment when its function waits for a training, or has ended."""

    def __init__(self, function: Callable[[], T]) -> None:
        self.waiting: Training | None = None
        self._function, self._context, self._threads = function, copy_context(), torch.get_num_threads()
        self._go, self._paused = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self._alone = False
        self._outcome: list[T | BaseException] = []
        self._thread = threading.Thread(target=self._context.run, args=(self._work,), daemon=True)
        self._thread.start()

    def go_on(self, error: BaseException | None = None) -> None:
        """Let the function go on, or have the error raised where it waits; back when it waits again, or has ended."""
        self._error = error
        self._go.release()
        self._paused.acquire()

    def go_on_alone(self) -> None:
        """As `go_on`, but the training that it waits for is not done: it is carried out there."""
        self._alone = True
        self.go_on()

    def stop(self, error: BaseException) -> None:
        """End the function, wherever it waits."""
        while not self._outcome:
            self.go_on(error)

    def outcome(self) -> T | BaseException:
        """What the function returned or raised."""
        self._thread.join()
        return self._outcome[0]

    def _work(self) -> None:
        torch.set_num_threads(self._threads)
        try:
            self._wait()
            with carried_out(self._wait_for):
                self._outcome.append(self._function())
        except BaseException as error:
            self._outcome.append(error)
        finally:
            self._paused.release()

    def _wait(self) -> None:
        self._go.acquire()
        if self._error is not None:
            raise self._error

    def _wait_for(self, training: Training) -> None:
        """Instead of `Training.run`, called by `fit` in this thread."""
        if training.result.steps >= training.config.steps:
            return  # nothing to do, or all was done before an interruption
        self.waiting = training
        self._paused.release()
        try:
            self._wait()
        finally:
            self.waiting = None
        if self._alone:
            self._alone = False
            training.run()
