"""How long a plan will go on: from what models like those that are missing took on this machine, this run's first."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from capbench.pipeline.costs import Costs
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step
from capbench.store.store import Store

_LATE = 2.0  # times as long as the longest of the missing models takes
_PATIENCE = 60.0  # seconds; short trainings are told in minutes anyway


class TimeLeft:
    """Asked now and then while a plan is carried out.

    Steps are no measure: one of a large model takes as long as many of a small one, a revival ends at its goal, and a method may
    train less than it could. So nothing is said until a model like each of those that are missing was made on this machine; and
    what such models usually took is scaled by what those of this run did, as the machine may be busy. Where none was made for
    twice as long as any of them takes, that was wrong, and nothing is said either.
    """

    def __init__(self, plan: Plan, store: Store, missing: Sequence[Step], *, jobs: int, stack: int = 1) -> None:
        """missing: what is to be made. jobs: trainings at a time; stack: models in one pass."""
        self._plan, self._store, self._missing, self._jobs, self._stack = plan, store, missing, jobs, stack
        self._took: dict[str, float] = {}
        self._left, self._since = len(missing), time.monotonic()

    def seconds(self, failed: Collection[str] = ()) -> float | None:
        """By the clock, from now; None where there is no telling. failed: keys of what will not be made."""
        rest = [step for step in self._missing if step.key not in failed and not self._store.has(step.key)]
        costs = Costs(self._plan, self._store, rest, stack=self._stack)
        if costs.unknown:
            return None
        busy = self._busy(costs)
        return None if self._overdue(costs, busy) else busy * costs.wall(self._jobs)

    def _overdue(self, costs: Costs, busy: float) -> bool:
        """Whether the next model should have been made long ago."""
        if len(costs.missing) != self._left:
            self._left, self._since = len(costs.missing), time.monotonic()
        longest = max((found.wall for found in costs.times.values() if found is not None), default=0.0)
        return time.monotonic() - self._since > max(_LATE * busy * longest, _PATIENCE)

    def _busy(self, costs: Costs) -> float:
        """What the trainings of this run took, as a share of what is usual."""
        ended = [step for step in self._missing if step.cost and self._store.has(step.key)]
        for step in ended:
            if step.key not in self._took and (meta := self._store.meta(step.key)) is not None:
                self._took[step.key] = float(meta.get("seconds", 0.0))
        usual = sum(each.seconds for step in ended if (each := costs.usual(step)) is not None)
        return sum(self._took.values()) / usual if usual else 1.0
