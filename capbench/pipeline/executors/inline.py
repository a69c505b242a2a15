"""Steps carried out in this process, one after another or several at a time."""

from __future__ import annotations

import contextlib
import functools
import time

from capbench.errors import UsageError
from capbench.pipeline import sockets
from capbench.pipeline.clock import Clock, OutOfTime
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.executors import base
from capbench.pipeline.steps import FineTune, Step
from capbench.store.store import Store


class Inline:
    """Runs `stack` steps at a time; similar trainings among them share one batched pass.

    For a GPU, which one small model leaves idle; on a CPU it gains nothing (benchmarks/).
    """

    ahead = False

    def __init__(self, store: Store, clock: Clock, *, stack: int = 1) -> None:
        self._store, self._clock, self._stack = store, clock, stack
        self.running: list[Step] = []
        with contextlib.suppress(UsageError):  # only trainings on a GPU have processes, which draw their data
            sockets.make_room()

    @property
    def free(self) -> int:
        return self._stack - len(self.running)

    def start(self, step: Step) -> None:
        self.running.append(step)

    def collect(self) -> dict[str, str]:
        """Build the steps, except those that another process has just begun. Waits a moment if there are none."""
        if not self.running:
            time.sleep(base.POLL)
            return {}
        steps, self.running = self.running, []
        limit_threads()
        with base.as_in_a_new_process():
            if self._stack == 1:
                found = {step.key: self._build(step) for step in steps}
            else:
                apart = [step for step in steps if isinstance(step, FineTune) and step.method.is_the_users]
                found = self._together([step for step in steps if step not in apart])
                for spec in dict.fromkeys(step.method.spec for step in apart):
                    found |= self._apart([step for step in apart if step.method.spec == spec])
        return {key: why for key, why in found.items() if why is not None}

    def _together(self, steps: list[Step]) -> dict[str, str | None]:
        from capbench.training.stacking.together import together

        found: dict[str, str | None] = {}
        outcomes = together([functools.partial(self._build, step) for step in steps], most=self._stack)
        for step, outcome in zip(steps, outcomes, strict=True):
            if isinstance(outcome, BaseException):  # not an error of a step: an interruption
                raise outcome
            found[step.key] = outcome
        return found

    def _apart(self, steps: list[FineTune]) -> dict[str, str | None]:
        """Steps of one user's method, in one process: what it does to that process touches no other method."""
        found: dict[str, str | None] = {}
        with contextlib.ExitStack() as locks:
            ours = [s for s in steps if locks.enter_context(self._store.try_lock(s.key)) and not self._store.has(s.key)]
            for step in ours:
                self._clock.began(step)
                locks.callback(self._clock.ended, step)
            with contextlib.suppress(OutOfTime):  # the plan checks the clock, too
                failed = base.build_stack(ours, self._store, self._tick, self._stack) if ours else []
                found = {s.key: base.why(s.label, e) for s, e in zip(ours, failed, strict=True) if e is not None}
        return found

    def _build(self, step: Step) -> str | None:
        """Build one step; returns the reason if it failed."""
        self._clock.began(step)
        try:
            with self._store.try_lock(step.key) as ours:
                if ours:
                    base.build_step(step, self._store, self._tick)
        except OutOfTime:
            pass  # the plan checks the clock, too
        except Exception as error:
            return base.why(step.label, error)
        finally:
            self._clock.ended(step)
        return None

    def _tick(self, steps: int) -> None:
        self._clock.trained(steps)
        if self._clock.over:
            raise OutOfTime

    def close(self) -> None:
        pass
