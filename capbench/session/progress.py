"""How far a long run is: a bar on a terminal; elsewhere, as in CI or under nohup, a line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

EVERY = 60.0  # seconds between two lines
NOTED = 5.0  # between two looks at a bar's words


class Bar:
    """A progress bar. Called with what is done more; `note` shows a few words at its end."""

    def __init__(self, progress: tqdm[Any]) -> None:
        self._progress = progress
        self.note: Callable[[str], object] = progress.set_postfix_str

    def __call__(self, done: int) -> None:
        self._progress.update(done)


@contextmanager
def bar(total: int, unit: str = "step", *, quiet: bool = False, alike: bool = True) -> Iterator[Bar]:
    """A progress bar on a terminal; nothing elsewhere, nor if quiet.

    alike: whether all units take about the same time, so that those that are done tell how long the others take.
    """
    from tqdm import tqdm

    disable = quiet or not sys.stderr.isatty()
    form = None if alike else "{l_bar}{bar}| {n_fmt}/{total_fmt} {unit}s [{elapsed}{postfix}]"
    with tqdm(total=total, unit=unit, disable=disable, dynamic_ncols=True, bar_format=form) as progress:
        yield Bar(progress)


class Lines:
    """A line a minute where there is no terminal. say: writes one. quiet: only what failed is said.

    words: what has been done, for the line; left: the seconds that it will go on, None where there is no telling.
    note: shows the same on a terminal, beside a bar.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        words: Callable[[], str],
        left: Callable[[], float | None],
        *,
        note: Callable[[str], object] = lambda words: None,
        quiet: bool = False,
    ) -> None:
        self._words, self._left, self._quiet = words, left, quiet
        terminal = sys.stderr.isatty()
        self._tell: Callable[[str], object] = note if terminal else lambda line: say(f"capbench: {line}")
        self._every = NOTED if terminal else EVERY
        self._last = time.monotonic()

    def advance(self) -> None:
        """Something is done, or time went by. Says a line if a minute has gone by since the last one."""
        now = time.monotonic()
        if not self._quiet and now - self._last >= self._every:
            self._last, left = now, self._left()
            self._tell(f"{self._words()}{'' if left is None else f', about {_about(left)} left'}")


class Share:
    """The time left of work in equal parts: as long again for as much again. total: how many there are."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._began = self._last = time.monotonic()

    def add(self, done: int) -> None:
        """So many more are done."""
        self._done += done
        self._last = time.monotonic() if done else self._last

    def more(self, parts: int) -> None:
        """There are so many more."""
        self._total += parts

    def left(self) -> float | None:
        """In seconds; None before the first is done and after the last, and where the parts turn out to be of unequal length.

        That is where the next takes twice as long as the others did: the time left would only grow with what has gone by.
        """
        now, taken = time.monotonic(), self._last - self._began
        if not 0 < self._done < self._total or now - self._last > 2 * taken / self._done + 1:
            return None
        return (now - self._began) / self._done * (self._total - self._done)


class Making:
    """Watches a plan being carried out. models: how many are to be made; left: see `TimeLeft.seconds`; the rest as in `Lines`."""

    def __init__(
        self,
        models: int,
        say: Callable[[str], None],
        left: Callable[[Collection[str]], float | None],
        *,
        note: Callable[[str], object] = lambda words: None,
        quiet: bool = False,
    ) -> None:
        self._models, self._say = models, say
        self._made = self._running = 0
        self._failed: Collection[str] = ()
        self._told: set[str] = set()
        self._lines = Lines(say, self._words, lambda: left(self._failed), note=note, quiet=quiet)

    def trained(self) -> None:
        """Some training steps were made: so one is running, which in this process is not seen before it ends."""
        self._running = max(self._running, 1)
        self._lines.advance()

    def saw(self, waiting: int, running: int, errors: Mapping[str, str]) -> None:
        """waiting: models neither made nor failed; errors: all so far, key -> one line. A new one is said at once."""
        self._failed, self._running = set(errors), running
        self._made = self._models - waiting - len(errors)
        for words in errors.values():
            if words not in self._told:  # what needs a failed model fails with the same words
                self._told.add(words)
                self._say(f"capbench: failed: {words}")
        self._lines.advance()

    def _words(self) -> str:
        failed = f", {len(self._failed)} failed" if self._failed else ""
        return f"{self._made} of {self._models} models made, {self._running} running{failed}"


def _about(seconds: float) -> str:
    """`40 s`, `6 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
