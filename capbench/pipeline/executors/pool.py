"""Steps carried out in worker processes of one thread each."""

from __future__ import annotations

import queue
import time
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from capbench.pipeline import processes
from capbench.pipeline.clock import Clock
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.executors import base
from capbench.pipeline.steps import Step
from capbench.store.store import Store


class Pool:
    """Runs as many steps as it has processes; they begin in the order of `start`.

    When one process dies, all stop: the steps are offered again, continue from their last snapshots, and from then on run one
    at a time. A step whose process dies twice has failed. Workers end with this process, even if it is killed; their snapshots
    stay.
    """

    ahead = False

    def __init__(self, store: Store, jobs: int, clock: Clock) -> None:
        """jobs: number of processes, started when needed. clock: told when steps begin and end, and of training steps."""
        self._store, self._jobs, self._clock = store, jobs, clock
        self._context = processes.context()
        self._ticks: Any = self._context.Queue()
        self._far_end, self._line = self._context.Pipe(duplex=False)  # workers exit when our end is closed
        self._pool = self._new_pool()
        self._died: set[str] = set()
        self._errors: dict[str, str] = {}  # not yet returned by `collect`
        self._futures: dict[Future[None], Step] = {}

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._jobs,
            mp_context=self._context,
            initializer=_start_worker,
            initargs=(self._store.root, self._ticks, self._far_end),
        )

    @property
    def running(self) -> Collection[Step]:
        return self._futures.values()

    @property
    def free(self) -> int:
        return self._jobs - len(self._futures)

    def start(self, step: Step) -> None:
        try:
            self._futures[self._pool.submit(_work, step)] = step
        except BrokenProcessPool:  # a worker died since the last look
            self._restart([])
        else:
            self._clock.began(step)

    def collect(self) -> dict[str, str]:
        """Wait a moment for steps to end; key -> one line for those that failed or whose process died twice."""
        if not self._futures:
            time.sleep(base.POLL)  # another process is building what we wait for
        done, _ = wait(self._futures, timeout=base.POLL, return_when=FIRST_COMPLETED)
        self._report()
        died: list[Step] = []
        for future in done:
            step = self._futures.pop(future)
            self._clock.ended(step)
            try:
                future.result()
            except BrokenProcessPool:
                died.append(step)
            except Exception as error:
                self._errors[step.key] = base.why(step.label, error)
        if died:
            self._restart(died)
        errors, self._errors = self._errors, {}
        return errors

    def _restart(self, died: list[Step]) -> None:
        """One dead process breaks the whole pool. Continue one step at a time, to find the step that kills it.

        A step whose process died once is tried again (the plan still waits for it); the second time it has failed.
        """
        for step in self._futures.values():
            self._clock.ended(step)
        died += self._futures.values()
        self._futures.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._jobs = 1
        self._pool = self._new_pool()
        self._errors |= {step.key: base.died(step.label) for step in died if step.key in self._died}
        self._died |= {step.key for step in died}

    def _report(self) -> None:
        ticks = 0
        while True:
            try:
                ticks += self._ticks.get_nowait()
            except queue.Empty:
                break
        if ticks:
            self._clock.trained(ticks)

    def close(self) -> None:
        """End the workers, in the middle of a step if the time is up or the run was interrupted."""
        if self._futures:
            self._line.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._line.close()
        self._far_end.close()


_worker_state: dict[str, Any] = {}


def _start_worker(root: Any, ticks: Any, line: Any) -> None:
    processes.die_when_left(line)
    _worker_state.update(store=Store(root), ticks=ticks, pending=0)
    limit_threads()


def _work(step: Step) -> None:
    base.build_step(step, _worker_state["store"], _tick)
    _tick(0, flush=True)


def _tick(steps: int, *, flush: bool = False) -> None:
    _worker_state["pending"] += steps
    if flush or _worker_state["pending"] >= 10:
        _worker_state["ticks"].put(_worker_state["pending"])
        _worker_state["pending"] = 0
