"""What a logger is told, and several of them as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from capbench.methods.specs.user_code import one_line
from capbench.results import Results

Points = Sequence[tuple[int, float]]


class Logger(Protocol):
    """Told what a run finds, while it goes on. An exception costs the logger, not the run."""

    def curve(self, model: str, name: str, points: Points) -> object:
        """New points of a model's curve: (training step, value). An accuracy 0..1 by its name, or `loss`, or `grad_norm`."""

    def end(self, results: Results) -> object:
        """The run has ended: its claims with their margins, the verdicts on its models, and how it was made."""


class Loggers:
    """Several loggers. One that fails is named once, and not called again."""

    def __init__(self, loggers: Sequence[tuple[str, Logger]] = ()) -> None:
        """loggers: with the words by which the user gave each."""
        self._loggers = list(loggers)

    def __bool__(self) -> bool:
        return bool(self._loggers)

    def curve(self, model: str, name: str, points: Points, *, say: Callable[[str], object]) -> None:
        """Tell new points of a curve. say: what writes a line about a logger that failed."""
        self._each(lambda logger: logger.curve(model, name, points), say)

    def end(self, results: Results, *, say: Callable[[str], object]) -> None:
        """Tell that the run has ended."""
        self._each(lambda logger: logger.end(results), say)

    def _each(self, tell: Callable[[Logger], object], say: Callable[[str], object]) -> None:
        for given in list(self._loggers):
            try:
                tell(given[1])
            except Exception as error:
                self._loggers.remove(given)
                say(f"capbench: warning: {given[0]} failed and will not be called again: {one_line(error)}")
