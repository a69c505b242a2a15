"""The time that a plan may take: training speed, whether a step would finish in time, and when the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable

from capbench.pipeline.steps import Step, Training


class OutOfTime(BaseException):
    """Ends a training in this process. Not an Exception: a user's method may catch those and would go on."""


class Clock:
    """Counts training steps and the seconds they took, summed over processes.

    deadline: in seconds of time.monotonic(); infinity for none. progress: called with the steps done since its last call.
    """

    def __init__(self, deadline: float, progress: Callable[[int], object]) -> None:
        self._deadline, self._progress = deadline, progress
        self._trained, self._seconds = 0, 0.0
        self._running: dict[str, float] = {}  # key -> start time

    @property
    def over(self) -> bool:
        return time.monotonic() >= self._deadline

    def began(self, step: Step) -> None:
        if isinstance(step, Training):  # other steps, such as compiling, say nothing about training speed
            self._running[step.key] = time.monotonic()

    def ended(self, step: Step) -> None:
        now = time.monotonic()
        self._seconds += now - self._running.pop(step.key, now)

    def trained(self, steps: int) -> None:
        self._trained += steps
        self._progress(steps)

    def fits(self, step: Step) -> bool:
        """Whether the step would finish before the deadline at the speed so far; True if no speed is known yet."""
        now = time.monotonic()
        seconds = self._seconds + sum(now - since for since in self._running.values())
        expected = step.cost * seconds / self._trained if self._trained else 0.0
        return now + expected < self._deadline
