"""Which steps a run needs, and carrying them out: each once, parents first, the longest first, on all cores."""

from __future__ import annotations

import math
import multiprocessing
import multiprocessing.connection
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import MappingProxyType
from typing import Any

from capbench.errors import CapbenchError
from capbench.methods.registry import one_line
from capbench.pipeline.clock import Clock, OutOfTime
from capbench.pipeline.steps import Step
from capbench.store import Store

_POLL = 0.2  # seconds between looks at progress and at other processes' locks


class Plan:
    """The steps that are asked for and everything before them, each once."""

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
        progress: Callable[[int], object] = lambda _: None,
        deadline: float = math.inf,
    ) -> dict[str, str]:
        """Build what is missing with `jobs` processes of one thread each (jobs 1: in this process).

        A failed step stops nothing but the steps that need it. Returns key -> one line, for the steps that failed.
        progress is called with training steps done since its last call.
        deadline, in time.monotonic()'s seconds: no step begins that is not expected to be finished by then, and what is
        still running is stopped; it stays missing, which is no failure. With jobs 1 a step is stopped where it reports its
        progress: compiling, and a method with a loop of its own that reports none, are waited for.
        """
        missing = self.missing(store)
        if not missing:
            return {}
        clock = Clock(deadline, progress)
        executor = _Inline(store, clock) if jobs == 1 else _Pool(store, min(jobs, len(missing)), clock)
        try:
            return self._run(missing, store, executor, clock)
        finally:
            executor.close()

    def _run(self, waiting: list[Step], store: Store, executor: _Inline | _Pool, clock: Clock) -> dict[str, str]:
        errors: dict[str, str] = {}
        while (waiting or executor.running) and not clock.over:
            for blocked in waiting:
                failed = next((p.key for p in blocked.parents if p.key in errors), None)
                if failed is not None:
                    errors[blocked.key] = errors[failed]
            # What another process made meanwhile is done; what another process is at can wait.
            waiting = [s for s in waiting if s.key not in errors and not store.has(s.key)]
            running = {s.key for s in executor.running.values()}
            ready = [s for s in waiting if s.key not in running and all(store.has(p.key) for p in s.parents)]
            fitting = [s for s in ready if clock.fits(s)]
            if not fitting and not running:
                break  # nothing is left, or nothing of it would be finished in time
            step = next((s for s in fitting if not _busy(store, s)), None) if executor.free else None
            errors |= executor.collect() if step is None else executor.start(step)
        return errors


def _busy(store: Store, step: Step) -> bool:
    with store.try_lock(step.key) as free:
        return not free


class _Inline:
    """Carries steps out in this process, one after another."""

    free = 1
    running: Mapping[Any, Step] = MappingProxyType({})

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def start(self, step: Step) -> dict[str, str]:
        """Build the step, unless another process has just begun it; its error, if it failed."""
        limit_threads()
        self._clock.began(step)
        try:
            with self._store.try_lock(step.key) as ours:
                if ours:
                    _build(step, self._store, self._tick)
        except OutOfTime:
            pass  # the plan looks at the clock, too
        except Exception as error:
            return {step.key: _why(step, error)}
        finally:
            self._clock.ended(step)
        return {}

    def _tick(self, steps: int) -> None:
        self._clock.trained(steps)
        if self._clock.over:
            raise OutOfTime

    def collect(self) -> dict[str, str]:
        """Called when another process is at work on what we wait for."""
        time.sleep(_POLL)
        return {}

    def close(self) -> None:
        pass


class _Pool:
    """Carries steps out in worker processes of one thread each."""

    def __init__(self, store: Store, jobs: int, clock: Clock) -> None:
        self._store, self._jobs, self._clock = store, jobs, clock
        self._context = multiprocessing.get_context("spawn")  # a forked torch may hang
        self._ticks: Any = self._context.Queue()
        self._far_end, self._line = self._context.Pipe(duplex=False)  # workers live as long as our end is open
        self._pool = self._new_pool()
        self._died: set[str] = set()
        self.running: dict[Future[None], Step] = {}

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._jobs,
            mp_context=self._context,
            initializer=_start_worker,
            initargs=(self._store.root, self._ticks, self._far_end),
        )

    @property
    def free(self) -> int:
        return self._jobs - len(self.running)

    def start(self, step: Step) -> dict[str, str]:
        """Hand the step to a worker; its error comes with `collect`."""
        try:
            self.running[self._pool.submit(_work, step)] = step
        except BrokenProcessPool:  # a worker died since the last look
            return self._restart([])
        self._clock.began(step)
        return {}

    def collect(self) -> dict[str, str]:
        """Wait a moment; the errors of the steps that ended meanwhile."""
        if not self.running:
            time.sleep(_POLL)  # another process is at work on what we wait for
        done, _ = wait(self.running, timeout=_POLL, return_when=FIRST_COMPLETED)
        self._report()
        errors: dict[str, str] = {}
        died: list[Step] = []
        for future in done:
            step = self.running.pop(future)
            self._clock.ended(step)
            try:
                future.result()
            except BrokenProcessPool:
                died.append(step)
            except Exception as error:
                errors[step.key] = _why(step, error)
        return errors | self._restart(died) if died else errors

    def _restart(self, died: list[Step]) -> dict[str, str]:
        """One dead process takes the whole pool along. Go on one step at a time, so that it is clear who kills it:

        a step that died once is tried again (the plan still waits for it), the second time it is the culprit.
        """
        for step in self.running.values():
            self._clock.ended(step)
        died += self.running.values()
        self.running.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._jobs = 1
        self._pool = self._new_pool()
        culprits = [step for step in died if step.key in self._died]
        self._died |= {step.key for step in died}
        why = "the process that made '{}' died (out of memory, killed, or it ended itself)"
        return {step.key: why.format(step.label) for step in culprits}

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
        if self.running:
            self._line.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._line.close()
        self._far_end.close()


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads() -> None:
    """One thread per process: small models gain nothing from two, processes that share cores lose a factor of seven

    to spinning threads, and results stay the same however many processes there are.
    """
    import torch

    torch.set_num_threads(1)


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
    _build(step, _worker_state["store"], _tick)
    _tick(0, flush=True)


def _tick(steps: int, *, flush: bool = False) -> None:
    _worker_state["pending"] += steps
    if flush or _worker_state["pending"] >= 10:
        _worker_state["ticks"].put(_worker_state["pending"])
        _worker_state["pending"] = 0


def _why(step: Step, error: Exception) -> str:
    """One line; errors raised on purpose are that already."""
    return str(error) if isinstance(error, CapbenchError) else f"'{step.label}' failed: {one_line(error)}"


def _build(step: Step, store: Store, progress: Callable[[int], object]) -> None:
    from capbench.pipeline.build import build  # imports torch

    build(step, store, progress)
