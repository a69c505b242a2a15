"""What a plan asks of whatever carries out its steps, and what all of these share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from capbench.errors import CapbenchError
from capbench.methods.registry import one_line
from capbench.pipeline.steps import Step
from capbench.store import Store

POLL = 0.2  # seconds between looks at progress and at other processes' locks


class Executor(Protocol):
    """Takes steps until it is full, and carries them out while `collect` waits.

    It takes a step's lock in the store for as long as it trains, and leaves a step alone that another process has locked: the
    plan offers it again. What is in the store at the end is what counts as done.
    """

    @property
    def free(self) -> int:
        """How many more steps it takes now."""

    @property
    def ahead(self) -> bool:
        """Whether it takes a step while its parents are still running here."""

    @property
    def running(self) -> Collection[Step]:
        """What it was given and has not ended."""

    def start(self, step: Step) -> None:
        """Take a step. Does not wait for it."""

    def collect(self) -> dict[str, str]:
        """Go on with what is running, for a moment or until some of it ends; wait a moment if there is nothing.

        Returns key -> one line for the steps that failed meanwhile.
        """

    def close(self) -> None:
        """Stop what is still running, and give everything back."""


def build_step(step: Step, store: Store, progress: Callable[[int], object]) -> None:
    """Make the step's artefact; imports torch."""
    from capbench.pipeline.build import build

    build(step, store, progress)


def why(label: str, error: Exception) -> str:
    """One line; errors raised on purpose are that already."""
    return str(error) if isinstance(error, CapbenchError) else f"'{label}' failed: {one_line(error)}"


def died(label: str) -> str:
    """One line on a process that ended without a word."""
    return f"the process that made '{label}' died (out of memory, killed, or it ended itself)"
