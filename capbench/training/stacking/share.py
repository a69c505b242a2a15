"""Time accounting: seconds spent on several functions together are divided among them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple


class Spent(NamedTuple):
    """share: seconds, where time spent on n functions together counts 1/n. wall: elapsed seconds."""

    share: float
    wall: float


class Stopwatch:
    """The time spent on one function; it stops while others are at work."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing, self._share, self._wall = sharing, 0.0, 0.0

    @property
    def spent(self) -> Spent:
        """The time spent so far."""
        self._sharing.book()
        return Spent(self._share, self._wall)

    def add(self, seconds: float, among: int) -> None:
        """Add seconds that were shared `among` this many functions."""
        self._share += seconds / among
        self._wall += seconds


class Sharing:
    """The stopwatches of functions in one process; `at_work` are those running now."""

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
        """Divide the time since the last call among those at work."""
        now = time.perf_counter()
        for watch in self._at_work:
            watch.add(now - self._since, len(self._at_work))
        self._since = now


current: ContextVar[Stopwatch | None] = ContextVar("capbench_stopwatch", default=None)


def stopwatch() -> Stopwatch:
    """The stopwatch of the calling function, if several functions run together; else a new running one."""
    found = current.get()
    if found is None:
        alone = Sharing()
        found = Stopwatch(alone)
        alone.at_work = (found,)
    return found
