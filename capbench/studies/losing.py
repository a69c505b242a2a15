"""Whether a test loses a behaviour, and so needs more models: decided as its judge decides it, before they are made."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout

from capbench.studies.judge import Judge
from capbench.studies.lab import Reading

Body = Callable[[Judge], object]  # what a test does with its judge


class _KnownError(Exception):
    """Ends a test's body: it is known what the test asks where a behaviour is lost, and whether one is."""


class _Deciding(Judge):
    """A judge that measures up to there."""

    def measure(
        self, *readings: tuple[Reading, Sequence[str]], where_lost: Sequence[tuple[Reading, Sequence[str]]] = ()
    ) -> None:
        super().measure(*readings)
        if where_lost:
            raise _KnownError(self.lost)


def loses(judge: Judge, body: Body) -> bool:
    """Whether a behaviour is lost. False where the test comes to no such question."""
    try:
        with redirect_stdout(io.StringIO()):  # what the test prints is for its own run
            body(_Deciding(**judge.given))
    except _KnownError as known:
        return bool(known.args[0])
    except Exception:  # the test ends so, too, and says it
        return False
    return False
