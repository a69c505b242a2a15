"""The time that a plan may take: how fast it trains, whether a step would be finished in time, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from capbench.pipeline.steps import Step, Training


class OutOfTime(BaseException):
    """Ends a training in this process. No Exception: a user's method may catch those, and must not go on."""


class Clock:
    """Counts training steps and the seconds that they took, summed over processes.

    deadline: in time.monotonic()'s seconds; infinity for none. progress is called with the steps done since its last call.
    """

    def __init__(self, deadline: float, progress: Callable[[int], object]) -> None:
        self._deadline, self._progress = deadline, progress
        self._trained, self._seconds = 0, 0.0
        self._running: dict[str, float] = {}  # since when

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._deadline

    def began(self, step: Step) -> None:
        if isinstance(step, Training):  # what else there is, compiling above all, says nothing of the speed of training
            self._running[step.key] = time.monotonic()

    def ended(self, step: Step) -> None:
        now = time.monotonic()
        self._seconds += now - self._running.pop(step.key, now)

    def trained(self, steps: int) -> None:
        self._trained += steps
        self._progress(steps)

    def fits(self, step: Step) -> bool:
        """Whether the step would be finished before the deadline, at the speed seen so far; if none was seen, it may try."""
        now = time.monotonic()
        seconds = self._seconds + sum(now - since for since in self._running.values())
        expected = step.cost * seconds / self._trained if self._trained else 0.0
        return now + expected < self._deadline
