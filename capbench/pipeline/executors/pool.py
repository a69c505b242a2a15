"""Steps carried out in worker processes of one thread each."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import queue
import threading
import time
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from capbench.pipeline.clock import Clock
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.executors import base
from capbench.pipeline.steps import Step
from capbench.store.store import Store


class Pool:
    """Takes as many steps as it has processes, which begin them in the order in which they are started.

    A process that dies takes the others' steps along, to their last snapshots: all are offered again and go on one at a time,
    from then on for good, and a step whose process dies twice has failed. Workers end when this process does, even if it is
    killed: what they were at stays as snapshots.
    """

    ahead = False

    def __init__(self, store: Store, jobs: int, clock: Clock) -> None:
        """jobs: processes, started when they are needed. clock: told of beginnings, ends and training steps."""
        self._store, self._jobs, self._clock = store, jobs, clock
        # Workers are forked from a process that has imported torch, and done nothing with it: one that has may hang as a fork.
        self._context = multiprocessing.get_context("forkserver")
        # An optimizer imports the first when it is made.
        self._context.set_forkserver_preload(["torch._dynamo", "capbench.pipeline.build"])
        self._ticks: Any = self._context.Queue()
        self._far_end, self._line = self._context.Pipe(duplex=False)  # workers live as long as our end is open
        self._pool = self._new_pool()
        self._died: set[str] = set()
        self._errors: dict[str, str] = {}  # not yet told
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
        """Wait a moment for some to end; key -> one line for those that failed, and for one whose process died twice."""
        if not self._futures:
            time.sleep(base.POLL)  # another process is at work on what we wait for
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
        told, self._errors = self._errors, {}
        return told

    def _restart(self, died: list[Step]) -> None:
        """One dead process takes the whole pool along. Go on one step at a time, so that it is clear who kills it:

        a step that died once is tried again (the plan still waits for it), the second time it is the culprit.
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
        """End the workers, in the middle of what they are at if the time is up or the run was interrupted."""
        if self._futures:
            self._line.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._line.close()
        self._far_end.close()


_worker_state: dict[str, Any] = {}


def _start_worker(root: Any, ticks: Any, line: Any) -> None:
    threading.Thread(target=_die_when_left, args=(line,), daemon=True).start()
    _worker_state.update(store=Store(root), ticks=ticks, pending=0)
    limit_threads()


def _die_when_left(line: Any) -> None:
    """A run that is over, or was killed, must not leave workers behind that train on for nobody."""
    multiprocessing.connection.wait([line])  # nothing is ever sent: it is at its end when the other end is closed
    os._exit(1)


def _work(step: Step) -> None:
    base.build_step(step, _worker_state["store"], _tick)
    _tick(0, flush=True)


def _tick(steps: int, *, flush: bool = False) -> None:
    _worker_state["pending"] += steps
    if flush or _worker_state["pending"] >= 10:
        _worker_state["ticks"].put(_worker_state["pending"])
        _worker_state["pending"] = 0
