"""Which steps a run needs, and carrying them out: each once, parents first, longest chains first, on all cores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType

from capbench.pipeline import processes
from capbench.pipeline.clock import Clock
from capbench.pipeline.executors.base import Executor
from capbench.pipeline.executors.inline import Inline
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.executors.pool import Pool
from capbench.pipeline.order import in_order
from capbench.pipeline.steps import FineTune, Step
from capbench.store.store import Store

# Told again and again while a plan is carried out: how many steps are neither made nor failed, how many of these are running, and
# all errors so far, key -> one line.
Watch = Callable[[int, int, Mapping[str, str]], object]


class Plan:
    """The requested steps and all their ancestors, each once.

    strict_order: whether a step that would not finish before a deadline keeps later steps from beginning.
    priorities: by key; steps with smaller ones begin earlier, however long the chains of the others are.
    """

    strict_order = False
    priorities: Mapping[str, int] = MappingProxyType({})

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps: dict[str, Step] = {}
        for step in steps:
            self._add(step)

    def _add(self, step: Step) -> None:
        if step.key not in self.steps:
            for parent in step.parents:
                self._add(parent)
            self.steps[step.key] = step  # parents come before their children

    def missing(self, store: Store) -> list[Step]:
        """Steps without an intact artefact (damaged ones are set aside with a warning), the start of the longest chain first."""
        return [step for step in self.in_order() if not store.intact(step.key)]

    def in_order(self) -> list[Step]:
        """All steps, the start of the longest chain first: the order in which they would begin."""
        return [self.steps[key] for key in self._order]

    @cached_property
    def _order(self) -> list[str]:
        costs = {key: step.cost for key, step in self.steps.items()}
        parents = {key: [parent.key for parent in step.parents] for key, step in self.steps.items()}
        return in_order(costs, parents, self.priorities)

    def run(
        self,
        store: Store,
        *,
        jobs: int,
        stack: int = 1,
        progress: Callable[[int], object] = lambda _: None,
        watch: Watch = lambda waiting, running, errors: None,
        deadline: float = math.inf,
        ray: RayCluster | None = None,
    ) -> dict[str, str]:
        """Build missing steps with `jobs` processes of one thread each (jobs 1: in this process), or on a Ray cluster.

        stack: above 1, up to this many steps at a time in this process, similar trainings stacked in one pass (stacking/).
        A failed step only stops the steps that need it. Returns key -> one line, for the steps that failed.
        progress: called with the training steps done since its last call. watch: see `Watch`.
        deadline, in seconds of time.monotonic(): a step begins only if it is expected to finish by then (shorter later steps may
        still begin unless `strict_order`), and what is still running then is stopped; it stays missing, which is no failure.
        With jobs 1 a step stops where it reports progress: compiling, and a method whose own loop reports none, run to the end.
        Raises UsageError for a cluster that cannot be used.
        """
        missing = self.missing(store)
        if not missing:
            return {}
        clock = Clock(deadline, progress)
        if ray is None and any(isinstance(step, FineTune) and step.method.is_the_users for step in missing):
            processes.warm_up()  # while the base models are made
        executor: Executor
        if ray is not None:
            from capbench.pipeline.executors.on_ray.executor import RayExecutor

            executor = RayExecutor(ray, store, clock, cores=jobs, ahead=deadline == math.inf)
        elif stack > 1 or jobs == 1:
            executor = Inline(store, clock, stack=stack)
        else:
            executor = Pool(store, min(jobs, len(missing)), clock)
        try:
            return _run(missing, store, executor, clock, watch, strict_order=self.strict_order)
        finally:
            executor.close()


def _run(
    waiting: list[Step], store: Store, executor: Executor, clock: Clock, watch: Watch, *, strict_order: bool
) -> dict[str, str]:
    errors: dict[str, str] = {}
    while not clock.over:
        # Steps that another process finished are done; steps that it is building can wait.
        waiting = [s for s in waiting if s.key not in errors and not store.has(s.key)]
        running = {s.key for s in executor.running}
        fitting = 0
        for step in waiting:
            if not executor.free:
                break
            if step.key in running:
                continue
            if not clock.fits(step):
                if strict_order:
                    break
                continue
            if all(store.has(p.key) or (executor.ahead and p.key in running) for p in step.parents):
                fitting += 1
                if not _busy(store, step):
                    executor.start(step)
                    running = {s.key for s in executor.running}
        if not fitting and not executor.running:
            break  # nothing is left, or nothing that would finish in time
        errors |= executor.collect()
        for blocked in waiting:
            failed = next((p.key for p in blocked.parents if p.key in errors), None)
            if failed is not None:
                errors[blocked.key] = errors[failed]
        left = sum(s.key not in errors and not store.has(s.key) for s in waiting)
        watch(left, len(executor.running), errors)
    return errors


def _busy(store: Store, step: Step) -> bool:
    with store.try_lock(step.key) as free:
        return not free
