"""The plan's side: hands steps to the cluster, and puts what comes back into the store. Imports Ray."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from capbench import __version__
from capbench.errors import CapbenchError
from capbench.pipeline.clock import Clock
from capbench.pipeline.executors import base
from capbench.pipeline.executors.on_ray import luggage, worker
from capbench.pipeline.executors.on_ray.connection import connected
from capbench.pipeline.executors.on_ray.ledger import Ledger
from capbench.pipeline.executors.on_ray.parcel import Failed, Made, Parcel
from capbench.pipeline.executors.on_ray.room import Room, on_gpu
from capbench.pipeline.executors.on_ray.where import OnRay
from capbench.pipeline.snapshots import Snapshots
from capbench.pipeline.steps import Compile, Step
from capbench.store.code import training_code
from capbench.store.store import Store

_AHEAD = 200  # steps that are handed over at most: each holds a lock, which is an open file
_KEPT = 64  # parents from the store that are put before the cluster at most
_RETRIES = 10  # lost nodes that a step survives; of its own faults the ledger forgives fewer


@dataclass(frozen=True, kw_only=True)
class _Task:
    step: Step
    future: Any
    hold: contextlib.ExitStack  # the step's lock


class RayExecutor:
    """Hands over the whole graph, parents as futures; under a deadline no more than the cluster can begin at once (cores, and
    shares of GPUs), as what waits there would begin too late.

    The cluster begins steps in the order in which they were handed over, but for those that wait for parents. A node that is
    lost costs what it was at: its steps begin anew elsewhere (at most ten times), and what was finished is kept on this node.
    A step whose own process dies is tried once more. What comes back goes into the store as soon as it is there, so that a kill
    of this process costs what was under way, and no more; the next run finds the rest. A step uses
    the user's files that were sent with it, whatever its worker has imported before.
    """

    def __init__(self, where: OnRay, store: Store, clock: Clock, *, cores: int, ahead: bool) -> None:
        """cores: of a cluster that is started for this run. Raises UsageError for a cluster that cannot be used."""
        self._where, self._store, self._clock = where, store, clock
        self.ahead = ahead
        self._tasks: dict[str, _Task] = {}
        self._errors: dict[str, str] = {}  # not yet told
        self._parents: OrderedDict[str, Any] = OrderedDict()
        self._luggage: dict[luggage.List, Any] = {}
        self._connection = contextlib.ExitStack()
        self._connection.enter_context(connected(where, cores=cores))
        with contextlib.ExitStack() as undo:
            undo.callback(self._connection.close)
            self._room = Room.of(ray.cluster_resources(), where.gpus_per_task)
            if not self._room.cores:
                raise CapbenchError(f"{where} has no node with a core to spare (`ray start --num-cpus`)")
            self._make: Any = ray.remote(worker.make)
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            self._ledger: Any = (
                ray.remote(Ledger)
                .options(name=f"capbench-{uuid.uuid4().hex[:8]}", num_cpus=0, scheduling_strategy=here)
                .remote()
            )
            undo.pop_all()

    @property
    def running(self) -> Collection[Step]:
        return [task.step for task in self._tasks.values()]

    @property
    def free(self) -> int:
        return (_AHEAD if self.ahead else self._room.cores) - len(self._tasks)

    def start(self, step: Step) -> None:
        """Hand a step over, unless it would wait there under a deadline. That it cannot travel is told by `collect`."""
        if not self.ahead and self._room.waits(step, self.running):
            return
        with contextlib.ExitStack() as hold:
            if not hold.enter_context(self._store.try_lock(step.key)) or self._store.has(step.key):
                return
            try:
                future = self._submit(step)
            except Exception as error:  # of a user's class that cannot travel, a file that is gone
                self._errors[step.key] = base.why(step.label, error)
                return
            self._tasks[step.key] = _Task(step=step, future=future, hold=hold.pop_all())

    def _submit(self, step: Step) -> Any:
        cuda, files = on_gpu(step), luggage.needed(step)
        if cuda and not self._room.gpus:
            raise CapbenchError(f"'{step.label}' asks for a GPU, and {self._where} has none; use --capbench-device=cpu")
        modules = frozenset(m for m in luggage.modules_of(step) if m.partition(".")[0] == "capbench")
        partial = self._store.root / "partial" / step.key
        parcel = Parcel(
            key=step.key,
            label=step.label,
            step=ray.cloudpickle.dumps(step),  # as pickle, but for what a notebook defines
            version=__version__,
            code=training_code(modules),
            modules=modules,
            snapshots={file.name: file.read_bytes() for file in partial.glob("*.snapshot")},
        )
        make = self._make.options(
            name=step.label,
            num_cpus=1,  # a training on a GPU needs one to feed it
            num_gpus=self._where.gpus_per_task if cuda else 0,
            max_retries=_RETRIES,
        )
        return make.remote(parcel, self._packed(files), self._ledger, *self._needed(step))

    def _packed(self, files: luggage.List) -> Any:
        if files not in self._luggage:
            self._luggage[files] = ray.put(files.packed())
        return self._luggage[files]

    def _needed(self, step: Step) -> list[Any]:
        """Futures of what its making reads: its parents, and what a compiled model's form is read from."""
        wanted = {parent.key: parent for parent in step.parents}
        origin = step
        while origin.parents:
            origin = origin.parents[0]
        if isinstance(origin, Compile) and origin is not step:
            wanted[origin.key] = origin
        return [self._future(key) for key in wanted]

    def _future(self, key: str) -> Any:
        if key in self._tasks:
            return self._tasks[key].future
        if key not in self._parents:
            content = self._store.content(key)
            if content is None:
                raise CapbenchError(f"no artefact {key} in {self._store.root}")
            self._parents[key] = ray.put(Made(key=key, content=content))
            if len(self._parents) > _KEPT:
                self._parents.popitem(last=False)
        self._parents.move_to_end(key)
        return self._parents[key]

    def collect(self) -> dict[str, str]:
        """Put what has come back meanwhile into the store. Raises CapbenchError if the account of the run is lost."""
        futures = {task.future: task for task in self._tasks.values()}
        if futures:
            done, _ = ray.wait(list(futures), timeout=base.POLL)
            done, _ = ray.wait(list(futures), num_returns=len(futures), timeout=0) if done else (done, [])
            self._hear()
            for future in done:
                self._take(futures[future])
        else:
            time.sleep(base.POLL)  # another process is at work on what we wait for
        told, self._errors = self._errors, {}
        return told

    def _hear(self) -> None:
        """What the ledger knows of progress."""
        try:
            began, ticks = ray.get(self._ledger.news.remote(), timeout=30)
        except GetTimeoutError:
            return
        except RayActorError:
            raise CapbenchError(f"{self._where} lost the process that keeps account of this run; try again") from None
        for key in began:
            if key in self._tasks:
                self._clock.began(self._tasks[key].step)
        if ticks:
            self._clock.trained(ticks)

    def _take(self, task: _Task) -> None:
        """Put what a task made into the store, and release its lock."""
        step = task.step
        try:
            made = ray.get(task.future)
            if isinstance(made, Failed):
                self._errors[step.key] = made.why
            else:
                self._store.put(step.key, made.content)
                Snapshots(self._store.root, step.key).remove()
        except CapbenchError as error:
            self._errors[step.key] = str(error)
        except RayError as error:
            self._errors[step.key] = _said(step.label, error)
        finally:
            del self._tasks[step.key]
            task.hold.close()
            self._clock.ended(step)

    def close(self) -> None:
        """Stop what is still running on the cluster, and leave it; a cluster of this run's own ends."""
        for task in self._tasks.values():
            with contextlib.suppress(Exception):  # the cluster may be gone
                ray.cancel(task.future, force=True)
            task.hold.close()
        self._tasks.clear()
        with contextlib.suppress(Exception):
            ray.kill(self._ledger)
        self._connection.close()


def _said(label: str, error: RayError) -> str:
    """One line on what went wrong beside the step itself."""
    words = " ".join(str(error).split())
    if "No module named 'capbench" in words:
        return f"'{label}' failed: a node of the Ray cluster has no capbench, or another one; install the same on all nodes"
    return f"'{label}' failed on the Ray cluster: {type(error).__name__}: {words[-300:]}"
