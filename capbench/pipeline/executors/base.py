"""The interface between a plan and what carries out its steps, and code shared by all executors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from capbench.errors import CapbenchError
from capbench.methods.specs.user_code import one_line
from capbench.pipeline.steps import FineTune, Step
from capbench.store.store import Store

POLL = 0.2  # seconds between looks at progress and at other processes' locks


class Executor(Protocol):
    """Accepts steps until it is full, and carries them out while `collect` waits.

    It holds a step's lock in the store while the step runs, and declines a step that another process has locked: the plan offers
    it again. A step is done if its artefact is in the store.

    Steps begin in the order of `start`, as capacity allows, and end in any order. `collect` reports the error of a step, which
    stops no other step. Exceptions concern the executor itself (a cluster or store that cannot be used) or an interruption; the
    plan then calls `close`. Whatever is killed, an artefact is in the store completely or not at all, locks end with their
    process, and a training continues from its last snapshot when it is started again, now or in a later run.
    """

    @property
    def free(self) -> int:
        """How many more single-core steps it accepts now."""

    @property
    def ahead(self) -> bool:
        """Whether it accepts a step while the parents are still running here."""

    @property
    def running(self) -> Collection[Step]:
        """Steps that were started and have not ended."""

    def start(self, step: Step) -> None:
        """Accept a step whose parents are in the store (or running, if `ahead`). Does not wait for it or raise its errors.

        May decline, if another process is building the step or its resources are not free: then the step is neither `running`
        nor failed, and the plan offers it again.
        """

    def collect(self) -> dict[str, str]:
        """Continue what is running, for a moment or until a step ends; wait a moment if nothing is running.

        Returns key -> one line for the steps that failed meanwhile, each once. A step that ended without error or artefact was
        stopped at the deadline, or will be offered again.
        """

    def close(self) -> None:
        """Stop what is still running and release processes, locks and connections. Snapshots stay."""


def build_step(step: Step, store: Store, progress: Callable[[int], object]) -> None:
    """Build the step's artefact; imports torch. progress: called with the training steps done since its last call.

    Raises CapbenchError, one line, for a fault of the step; other exceptions are reported with the step's label.
    """
    from capbench.pipeline.build import build

    build(step, store, progress)


def as_in_a_new_process() -> AbstractContextManager[None]:
    """What is computed in this block hangs on no setting or hook that the user's code left in this process; imports torch."""
    from capbench.pipeline.process_state import standard

    return standard()


def build_stack(
    steps: Sequence[FineTune], store: Store, progress: Callable[[int], object], most: int
) -> list[Exception | None]:
    """Build several steps of one user's method in one process of their own, their trainings stacked; imports torch.

    Their locks are held. Returns why each failed, or None.
    """
    from capbench.pipeline.fine_tuning import build_apart

    return build_apart(steps, store, progress, most=most)


def why(label: str, error: Exception) -> str:
    """What went wrong, in one line: a CapbenchError as it is, any other exception with the step's label."""
    return str(error) if isinstance(error, CapbenchError) else f"'{label}' failed: {one_line(error)}"


def died(label: str) -> str:
    """One line on a process that ended without an exception; reported when it has happened twice."""
    return f"the process that made '{label}' died (out of memory, killed, or it exited by itself)"
