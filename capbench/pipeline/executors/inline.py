"""Steps carried out in this process, one after another or several at a time."""

from __future__ import annotations

import functools
import time

from capbench.pipeline.clock import Clock, OutOfTime
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.executors import base
from capbench.pipeline.steps import Step
from capbench.store.store import Store


class Inline:
    """Runs `stack` steps at a time; similar trainings among them share one batched pass.

    For a GPU, which one small model leaves idle; on a CPU it gains nothing (benchmarks/).
    """

    ahead = False

    def __init__(self, store: Store, clock: Clock, *, stack: int = 1) -> None:
        self._store, self._clock, self._stack = store, clock, stack
        self.running: list[Step] = []

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
        found = [self._build(steps[0])] if self._stack == 1 else self._together(steps)
        return {step.key: why for step, why in zip(steps, found, strict=True) if why is not None}

    def _together(self, steps: list[Step]) -> list[str | None]:
        from capbench.training.stacking.together import together

        found: list[str | None] = []
        for outcome in together([functools.partial(self._build, step) for step in steps], most=self._stack):
            if isinstance(outcome, BaseException):  # not an error of a step: an interruption
                raise outcome
            found.append(outcome)
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
