"""What runs on a node: one step, in a temporary store."""

from __future__ import annotations

import pickle
import platform
import tempfile
import time
from typing import Any

from capbench import __version__
from capbench.errors import CapbenchError
from capbench.methods.specs import registry
from capbench.pipeline.cores import limit_threads
from capbench.pipeline.executors import base
from capbench.pipeline.executors.on_ray import sources, temp_folder
from capbench.pipeline.executors.on_ray.payload import Failed, Made, Payload
from capbench.pipeline.executors.on_ray.sources import Sources
from capbench.pipeline.steps import FineTune, Step
from capbench.store.code import training_code
from capbench.store.store import Store, partial_folder

_REPORT_EVERY = 0.5  # seconds between reports of progress


def make(payload: Payload, files: Sources, ledger: Any, *parents: Made | Failed) -> Made | Failed:
    """A Ray task: the artefact of a step, given those of its parents.

    Errors of the step are returned as Failed; nothing is raised. When Ray runs it again after a loss, it returns the finished
    result if the ledger has it and otherwise starts over; a second death of its process is Failed, too.
    """
    import ray

    for each in parents:
        if isinstance(each, Failed):
            return each
    answer = ray.get(ledger.begin.remote(payload.key, payload.label, ray.get_runtime_context().get_node_id()))
    if isinstance(answer, Failed):
        return answer
    if answer is not None:
        finished: Made = ray.get(answer[0])
        return finished
    try:
        made = _made(payload, files, ledger, [each for each in parents if isinstance(each, Made)])
    except Exception as error:
        return Failed(why=base.why(payload.label, error))
    ray.get(ledger.finish.remote(made))  # before the plan can learn of it
    return made


def _made(payload: Payload, files: Sources, ledger: Any, parents: list[Made]) -> Made:
    _check_capbench(payload)
    unpacked = sources.unpack(files, temp_folder.folder() / "files")
    step: Step = pickle.loads(payload.step)
    step = sources.relocated(step, unpacked)
    if isinstance(step, FineTune):
        _check_method(step)
    limit_threads()
    with tempfile.TemporaryDirectory(dir=temp_folder.folder(), ignore_cleanup_errors=True) as folder:
        store = Store(folder)
        for each in parents:
            store.put(each.key, each.content)
        partial = partial_folder(store.root, payload.key)
        for name, content in payload.snapshots.items():
            partial.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        progress = _Progress(ledger)
        base.build_step(step, store, progress)
        progress.report()
        artefact = store.content(step.key)
    if artefact is None:
        raise CapbenchError(f"the artefact of '{payload.label}' was lost on node {platform.node()}")
    return Made(key=payload.key, content=artefact)


class _Progress:
    """Reports training steps to the ledger, several at a time."""

    def __init__(self, ledger: Any) -> None:
        self._ledger, self._pending, self._reported = ledger, 0, time.monotonic()

    def __call__(self, steps: int) -> None:
        self._pending += steps
        if time.monotonic() - self._reported >= _REPORT_EVERY:
            self.report()

    def report(self) -> None:
        self._ledger.tick.remote(self._pending)
        self._pending, self._reported = 0, time.monotonic()


def _check_capbench(payload: Payload) -> None:
    """Raises CapbenchError unless the code that the step uses is the same here."""
    if payload.version != __version__ or payload.code != training_code(payload.modules):
        raise CapbenchError(
            f"capbench on node {platform.node()} differs ({__version__} there, {payload.version} here"
            + (", with other code" if payload.version == __version__ else "")
            + "): install the same version on all nodes"
        )


def _check_method(step: FineTune) -> None:
    """Raises CapbenchError unless the method is the same here, so that no model is stored under another method's key.

    A file was sent, but it may have been edited before that; a module may have another version here.
    """
    found = registry.find(step.method.spec, arguments=step.method.arguments, depends=step.method.depends)
    if found.digest == step.method.digest:
        return
    raise CapbenchError(
        f"method {step.method.name!r} on node {platform.node()} differs from that of this run: it, or a module that it "
        "imports, was edited (run it again), or it or capbench has another version there (install the same version on all nodes)"
    )
