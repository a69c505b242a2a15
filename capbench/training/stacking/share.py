"""Whose time it is: of the seconds that are spent on several functions together, each has its share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple


class Spent(NamedTuple):
    """share: seconds, of those in which n were at work together 1/n. wall: all of those seconds, by the clock."""

    share: float
    wall: float


class Stopwatch:
    """What is spent on one function. It stands still while others are at work."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing, self._share, self._wall = sharing, 0.0, 0.0

    @property
    def spent(self) -> Spent:
        """Until now."""
        self._sharing.book()
        return Spent(self._share, self._wall)

    def add(self, seconds: float, among: int) -> None:
        """Of so many that were at work together."""
        self._share += seconds / among
        self._wall += seconds


class Sharing:
    """Stopwatches of functions that take turns in one process; `at_work` says which of them run now."""

    def __init__(self) -> None:
        self._at_work: tuple[Stopwatch, ...] = ()
        self._since = time.perf_counter()

    @property
    def at_work(self) -> tuple[Stopwatch, ...]:
        return self._at_work

    @at_work.setter
    def at_work(self, now: Sequence[Stopwatch]) -> None:
        self.book()
        self._at_work = tuple(now)

    def book(self) -> None:
        """Give the time since the last call to those at work."""
        now = time.perf_counter()
        for watch in self._at_work:
            watch.add(now - self._since, len(self._at_work))
        self._since = now


current: ContextVar[Stopwatch | None] = ContextVar("capbench_stopwatch", default=None)


def stopwatch() -> Stopwatch:
    """That of the function in which this is called, where several are carried out together; else a new one, that runs."""
    found = current.get()
    if found is None:
        alone = Sharing()
        found = Stopwatch(alone)
        alone.at_work = (found,)
    return found
