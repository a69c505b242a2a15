"""What a plan asks of whatever carries out its steps, and what all of these share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from capbench.errors import CapbenchError
from capbench.methods.specs.registry import one_line
from capbench.pipeline.steps import Step
from capbench.store.store import Store

POLL = 0.2  # seconds between looks at progress and at other processes' locks


class Executor(Protocol):
    """Takes steps until it is full, and carries them out while `collect` waits.

    It takes a step's lock in the store for as long as it trains, and leaves a step alone that another process has locked: the
    plan offers it again. What is in the store at the end is what counts as done.

    Steps begin in the order in which they are started, as far as there is room, and end in any. An error of one step is told by
    `collect` and stops no other; what is raised is about the executor itself (a cluster or a store that cannot be used), or an
    interruption, and the plan then calls `close`. Whatever is killed, an artefact is in the store whole or not at all, locks
    are gone with their process, and a training goes on from its last snapshot when it is started again, here or by a later run.
    """

    @property
    def free(self) -> int:
        """How many more steps it takes now, of those that ask for one core and no more."""

    @property
    def ahead(self) -> bool:
        """Whether it takes a step while its parents are still running here."""

    @property
    def running(self) -> Collection[Step]:
        """What it was given and has not ended."""

    def start(self, step: Step) -> None:
        """Take a step, whose parents are in the store (or running, if it is `ahead`). Does not wait for it, raises nothing of it.

        It may decline, as another process is at the step or there is no room for what it asks for: then it is not `running`,
        nobody failed, and the plan offers it again.
        """

    def collect(self) -> dict[str, str]:
        """Go on with what is running, for a moment or until some of it ends; wait a moment if there is nothing.

        Returns key -> one line for the steps that failed meanwhile, each once. A step that ended and is neither there nor in the
        store was stopped as the time was up, or will be offered again.
        """

    def close(self) -> None:
        """Stop what is still running, and give everything back: processes, locks, connections. Snapshots stay."""


def build_step(step: Step, store: Store, progress: Callable[[int], object]) -> None:
    """Make the step's artefact; imports torch. progress: called with training steps done since its last call.

    Raises CapbenchError of one line for what is wrong with the step; whatever else it raises is told with the step's label.
    """
    from capbench.pipeline.build import build

    build(step, store, progress)


def why(label: str, error: Exception) -> str:
    """What went wrong, in one line; errors raised on purpose are that already, others get the step's label."""
    return str(error) if isinstance(error, CapbenchError) else f"'{label}' failed: {one_line(error)}"


def died(label: str) -> str:
    """One line on a process that ended without a word, told when it has happened twice."""
    return f"the process that made '{label}' died (out of memory, killed, or it ended itself)"
