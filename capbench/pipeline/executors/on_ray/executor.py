"""The plan's side: submits steps to the cluster and stores the results. Imports Ray."""

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
from capbench.pipeline.executors.on_ray import sources, worker
from capbench.pipeline.executors.on_ray.capacity import Capacity, ahead, on_gpu
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.executors.on_ray.connection import connected
from capbench.pipeline.executors.on_ray.ledger import Ledger
from capbench.pipeline.executors.on_ray.payload import Failed, Made, Payload
from capbench.pipeline.snapshots import Snapshots
from capbench.pipeline.steps import Compile, Step
from capbench.store.code import training_code
from capbench.store.store import Store, partial_folder

_KEPT = 64  # parents from the store kept on the cluster at most
_RETRIES = 10  # lost nodes that a step survives; the ledger allows fewer deaths of its own


@dataclass(frozen=True, kw_only=True)
class _Task:
    step: Step
    future: Any
    hold: contextlib.ExitStack  # the step's lock


class RayExecutor:
    """Submits the whole graph, parents as futures; under a deadline only as many steps as the cluster can run at once (by cores
    and shares of GPUs), as a queued step would begin too late.

    The cluster begins steps in the order of submission, except those that wait for parents. The steps of a lost node begin
    again elsewhere (at most ten times); finished results are kept on this node. A step whose own process dies is tried once
    more. Results are stored as soon as they arrive, so a kill of this process costs only what is running; the next run finds
    the rest. A step uses the user's files that were sent with it, whatever its worker imported before.
    """

    def __init__(self, cluster: RayCluster, store: Store, clock: Clock, *, cores: int, ahead: bool) -> None:
        """cores: of a cluster started for this run. Raises UsageError for a cluster that cannot be used."""
        self._cluster, self._store, self._clock = cluster, store, clock
        self.ahead = ahead
        self._tasks: dict[str, _Task] = {}
        self._errors: dict[str, str] = {}  # not yet returned by `collect`
        self._parents: OrderedDict[str, Any] = OrderedDict()
        self._sources: dict[sources.SourceFiles, Any] = {}
        self._connection = contextlib.ExitStack()
        self._connection.enter_context(connected(cluster, cores=cores))
        with contextlib.ExitStack() as undo:
            undo.callback(self._connection.close)
            self._capacity = Capacity.of(ray.cluster_resources(), cluster.gpus_per_task)
            if not self._capacity.cores:
                raise CapbenchError(f"{cluster} has no CPU cores; start its nodes with `ray start --num-cpus`")
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
        return (ahead(self._capacity.cores) if self.ahead else self._capacity.cores) - len(self._tasks)

    def start(self, step: Step) -> None:
        """Submit a step, unless there is a deadline and it would have to wait. `collect` reports a step that cannot be sent."""
        if not self.ahead and self._capacity.must_wait(step, self.running):
            return
        with contextlib.ExitStack() as hold:
            if not hold.enter_context(self._store.try_lock(step.key)) or self._store.has(step.key):
                return
            try:
                future = self._submit(step)
            except Exception as error:  # a class that cannot be pickled, a missing file
                self._errors[step.key] = base.why(step.label, error)
                return
            self._tasks[step.key] = _Task(step=step, future=future, hold=hold.pop_all())

    def _submit(self, step: Step) -> Any:
        cuda, files = on_gpu(step), sources.needed_by(step)
        if cuda and not self._capacity.gpus:
            raise CapbenchError(f"'{step.label}' needs a GPU, but {self._cluster} has none; use --capbench-device=cpu")
        modules = frozenset(m for m in sources.modules_of(step) if m.partition(".")[0] == "capbench")
        partial = partial_folder(self._store.root, step.key)
        payload = Payload(
            key=step.key,
            label=step.label,
            step=ray.cloudpickle.dumps(step),  # like pickle, but handles what a notebook defines
            version=__version__,
            code=training_code(modules),
            modules=modules,
            snapshots={file.name: file.read_bytes() for file in partial.glob("*.snapshot")},
        )
        make = self._make.options(
            name=step.label,
            num_cpus=1,  # a training on a GPU needs one to feed it
            num_gpus=self._cluster.gpus_per_task if cuda else 0,
            max_retries=_RETRIES,
        )
        return make.remote(payload, self._sources_at(files), self._ledger, *self._inputs(step))

    def _sources_at(self, files: sources.SourceFiles) -> Any:
        """A future of their content, put on the cluster once."""
        if files not in self._sources:
            self._sources[files] = ray.put(files.read())
        return self._sources[files]

    def _inputs(self, step: Step) -> list[Any]:
        """Futures of the artefacts that building it reads: its parents, and the compiled model that gives its architecture."""
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
        """Store the results that have arrived. Raises CapbenchError if the ledger is lost."""
        futures = {task.future: task for task in self._tasks.values()}
        if futures:
            done, _ = ray.wait(list(futures), timeout=base.POLL)
            done, _ = ray.wait(list(futures), num_returns=len(futures), timeout=0) if done else (done, [])
            self._update_clock()
            for future in done:
                self._store_result(futures[future])
        else:
            time.sleep(base.POLL)  # another process is building what we wait for
        errors, self._errors = self._errors, {}
        return errors

    def _update_clock(self) -> None:
        """Pass the ledger's progress on to the clock."""
        try:
            began, ticks = ray.get(self._ledger.news.remote(), timeout=30)
        except GetTimeoutError:
            return
        except RayActorError:
            raise CapbenchError(f"{self._cluster} lost the process that tracks this run; try again") from None
        for key in began:
            if key in self._tasks:
                self._clock.began(self._tasks[key].step)
        if ticks:
            self._clock.trained(ticks)

    def _store_result(self, task: _Task) -> None:
        """Store the result of a task and release its lock."""
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
            self._errors[step.key] = _ray_error(step.label, error)
        finally:
            del self._tasks[step.key]
            task.hold.close()
            self._clock.ended(step)

    def close(self) -> None:
        """Stop what is still running on the cluster and disconnect; a cluster started for this run ends."""
        for task in self._tasks.values():
            with contextlib.suppress(Exception):  # the cluster may be gone
                ray.cancel(task.future, force=True)
            task.hold.close()
        self._tasks.clear()
        with contextlib.suppress(Exception):
            ray.kill(self._ledger)
        self._connection.close()


def _ray_error(label: str, error: RayError) -> str:
    """One line on an error of Ray, not of the step."""
    words = " ".join(str(error).split())
    if "No module named 'capbench" in words:
        return f"'{label}' failed: a node of the Ray cluster has no capbench or another version; install the same on all nodes"
    return f"'{label}' failed on the Ray cluster: {type(error).__name__}: {words[-300:]}"
