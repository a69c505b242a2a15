"""Steps carried out in this process, one after another."""

from __future__ import annotations

import time

from capbench.pipeline.clock import Clock, OutOfTime
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.executors import base
from capbench.pipeline.steps import Step
from capbench.store import Store


class Inline:
    """Takes one step at a time."""

    ahead = False

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.running: list[Step] = []

    @property
    def free(self) -> int:
        return 1 - len(self.running)

    def start(self, step: Step) -> None:
        self.running.append(step)

    def collect(self) -> dict[str, str]:
        """Build the step, unless another process has just begun it. Waits a moment if there is none: another is at it."""
        if not self.running:
            time.sleep(base.POLL)
            return {}
        step = self.running.pop()
        limit_threads()
        self._clock.began(step)
        try:
            with self._store.try_lock(step.key) as ours:
                if ours:
                    base.build_step(step, self._store, self._tick)
        except OutOfTime:
            pass  # the plan looks at the clock, too
        except Exception as error:
            return {step.key: base.why(step.label, error)}
        finally:
            self._clock.ended(step)
        return {}

    def _tick(self, steps: int) -> None:
        self._clock.trained(steps)
        if self._clock.over:
            raise OutOfTime

    def close(self) -> None:
        pass
