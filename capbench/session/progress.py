"""How far a long run is: a bar on a terminal; elsewhere, as in CI or under nohup, a line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

EVERY = 60.0  # seconds between two lines


@contextmanager
def bar(total: int, unit: str = "step", *, quiet: bool = False) -> Iterator[Callable[[int], object]]:
    """A progress bar on a terminal; nothing elsewhere, nor if quiet."""
    from tqdm import tqdm

    disable = quiet or not sys.stderr.isatty()
    with tqdm(total=total, unit=unit, disable=disable, dynamic_ncols=True) as progress:
        yield progress.update


class Lines:
    """A line a minute where there is no terminal. say: writes one. quiet: only what failed is said.

    total: what there is to do, in the unit that `advance` counts; words: what has been done, for the line.
    """

    def __init__(
        self, total: int, say: Callable[[str], None], words: Callable[[], str], *, quiet: bool = False
    ) -> None:
        self._total, self._say, self._words = total, say, words
        self._silent = quiet or sys.stderr.isatty()  # there is a bar
        self._began = self._last = time.monotonic()
        self._done = 0

    def advance(self, done: int = 0) -> None:
        """So much more is done. Says a line if a minute has gone by since the last one."""
        self._done += done
        now = time.monotonic()
        if not self._silent and now - self._last >= EVERY:
            self._last = now
            self._say(f"capbench: {self._words()}{self._left(now)}")

    def _left(self, now: float) -> str:
        """As long again for as much again; nothing where there is no telling."""
        if not 0 < self._done < self._total:
            return ""
        seconds = (now - self._began) / self._done * (self._total - self._done)
        return f", about {_about(seconds)} left"


class Making:
    """Watches a plan being carried out. models: how many are to be made; steps: how many training steps that takes."""

    def __init__(self, models: int, steps: int, say: Callable[[str], None], *, quiet: bool = False) -> None:
        self._models, self._say = models, say
        self._made = self._running = self._failed = 0
        self._told: set[str] = set()
        self._lines = Lines(steps, say, self._words, quiet=quiet)

    def trained(self, steps: int) -> None:
        """So many training steps were made."""
        self._lines.advance(steps)

    def saw(self, waiting: int, running: int, errors: Mapping[str, str]) -> None:
        """waiting: models neither made nor failed; errors: all so far, key -> one line. A new one is said at once."""
        self._failed, self._running = len(errors), running
        self._made = self._models - waiting - self._failed
        for words in errors.values():
            if words not in self._told:  # what needs a failed model fails with the same words
                self._told.add(words)
                self._say(f"capbench: failed: {words}")
        self._lines.advance()

    def _words(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._made} of {self._models} models made, {self._running} running{failed}"


def _about(seconds: float) -> str:
    """`40 s`, `6 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
