"""Which steps a run needs, and carrying them out: each once, parents first, the longest first, on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from capbench.pipeline.clock import Clock
from capbench.pipeline.executors.base import Executor
from capbench.pipeline.executors.inline import Inline
from capbench.pipeline.executors.on_ray.where import OnRay
from capbench.pipeline.executors.pool import Pool
from capbench.pipeline.steps import Step
from capbench.store.store import Store


class Plan:
    """The steps that are asked for and everything before them, each once.

    in_turn: whether a step that would not be finished before a deadline keeps those after it from beginning.
    """

    in_turn = False

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps: dict[str, Step] = {}
        for step in steps:
            self._add(step)
        self._following = self._costs_that_follow()

    def _add(self, step: Step) -> None:
        if step.key not in self.steps:
            for parent in step.parents:
                self._add(parent)
            self.steps[step.key] = step  # parents stand before their children

    def _costs_that_follow(self) -> dict[str, int]:
        """For each step the cost of the longest chain that starts with it: what must begin early."""
        chain = {key: step.cost for key, step in self.steps.items()}
        for key, step in reversed(self.steps.items()):
            for parent in step.parents:
                chain[parent.key] = max(chain[parent.key], parent.cost + chain[key])
        return chain

    def missing(self, store: Store) -> list[Step]:
        """Steps without an intact artefact (damaged ones are set aside with a warning), the start of the longest chain first."""
        return [step for step in self.in_order() if not store.intact(step.key)]

    def in_order(self) -> list[Step]:
        """All steps, the start of the longest chain first: the order in which they would begin."""
        return sorted(self.steps.values(), key=lambda step: -self._following[step.key])

    def run(
        self,
        store: Store,
        *,
        jobs: int,
        stack: int = 1,
        progress: Callable[[int], object] = lambda _: None,
        deadline: float = math.inf,
        ray: OnRay | None = None,
    ) -> dict[str, str]:
        """Build what is missing with `jobs` processes of one thread each (jobs 1: in this process), or on a Ray cluster.

        stack: above 1, up to so many steps together in this process, alike trainings in one pass a step (stacking/).

        A failed step stops nothing but the steps that need it. Returns key -> one line, for the steps that failed.
        progress is called with training steps done since its last call.
        deadline, in time.monotonic()'s seconds: no step begins that is not expected to be finished by then (shorter ones after
        it may, unless the plan is one `in_turn`), and what is still running is stopped; it stays missing, which is no failure.
        With jobs 1 a step is stopped where it reports its progress: compiling, and a method with a loop of its own that
        reports none, are waited for.
        Raises UsageError for a cluster that cannot be used.
        """
        missing = self.missing(store)
        if not missing:
            return {}
        clock = Clock(deadline, progress)
        executor: Executor
        if ray is not None:
            from capbench.pipeline.executors.on_ray.executor import RayExecutor

            executor = RayExecutor(ray, store, clock, cores=jobs, ahead=deadline == math.inf)
        elif stack > 1 or jobs == 1:
            executor = Inline(store, clock, stack=stack)
        else:
            executor = Pool(store, min(jobs, len(missing)), clock)
        try:
            return _run(missing, store, executor, clock, in_turn=self.in_turn)
        finally:
            executor.close()


def _run(waiting: list[Step], store: Store, executor: Executor, clock: Clock, *, in_turn: bool) -> dict[str, str]:
    errors: dict[str, str] = {}
    while not clock.over:
        # What another process made meanwhile is done; what another process is at can wait.
        waiting = [s for s in waiting if s.key not in errors and not store.has(s.key)]
        running = {s.key for s in executor.running}
        fitting = 0
        for step in waiting:
            if not executor.free:
                break
            if step.key in running:
                continue
            if not clock.fits(step):
                if in_turn:
                    break
                continue
            if all(store.has(p.key) or (executor.ahead and p.key in running) for p in step.parents):
                fitting += 1
                if not _busy(store, step):
                    executor.start(step)
                    running = {s.key for s in executor.running}
        if not fitting and not executor.running:
            break  # nothing is left, or nothing of it would be finished in time
        errors |= executor.collect()
        for blocked in waiting:
            failed = next((p.key for p in blocked.parents if p.key in errors), None)
            if failed is not None:
                errors[blocked.key] = errors[failed]
    return errors


def _busy(store: Store, step: Step) -> bool:
    with store.try_lock(step.key) as free:
        return not free
