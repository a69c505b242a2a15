"""What runs on a node: one step, in a store of its own that is gone afterwards."""

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
from capbench.pipeline.executors.on_ray import luggage, scratch
from capbench.pipeline.executors.on_ray.luggage import Luggage
from capbench.pipeline.executors.on_ray.parcel import Failed, Made, Parcel
from capbench.pipeline.steps import FineTune, Step
from capbench.store.code import training_code
from capbench.store.store import Store

_TELL = 0.5  # seconds between two words about progress


def make(parcel: Parcel, packed: Luggage, ledger: Any, *parents: Made | Failed) -> Made | Failed:
    """A Ray task: the artefact of a step, given those before it.

    Whatever is wrong with the step comes back as Failed, and nothing is raised. Carried out again, after a loss, it gives what
    it gave if that was told to the ledger, and else begins anew: a second death of its own is Failed, too.
    """
    import ray

    for each in parents:
        if isinstance(each, Failed):
            return each
    told = ray.get(ledger.begin.remote(parcel.key, parcel.label, ray.get_runtime_context().get_node_id()))
    if isinstance(told, Failed):
        return told
    if told is not None:
        finished: Made = ray.get(told[0])
        return finished
    try:
        made = _made(parcel, packed, ledger, [each for each in parents if isinstance(each, Made)])
    except Exception as error:
        return Failed(why=base.why(parcel.label, error))
    ray.get(ledger.finish.remote(made))  # before anybody can hear of it
    return made


def _made(parcel: Parcel, packed: Luggage, ledger: Any, parents: list[Made]) -> Made:
    _check_capbench(parcel)
    place = luggage.unpack(packed, scratch.folder() / "files")
    step: Step = pickle.loads(parcel.step)
    step = luggage.moved(step, place)
    if isinstance(step, FineTune):
        _check_method(step)
    limit_threads()
    with tempfile.TemporaryDirectory(dir=scratch.folder(), ignore_cleanup_errors=True) as folder:
        store = Store(folder)
        for each in parents:
            store.put(each.key, each.content)
        partial = store.root / "partial" / parcel.key
        for name, content in parcel.snapshots.items():
            partial.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        ticks = _Ticks(ledger)
        base.build_step(step, store, ticks)
        ticks.tell()
        artefact = store.content(step.key)
    if artefact is None:
        raise CapbenchError(f"the artefact of '{parcel.label}' was lost on {platform.node()}")
    return Made(key=parcel.key, content=artefact)


class _Ticks:
    """Tells the ledger how many steps were trained, not every one of them."""

    def __init__(self, ledger: Any) -> None:
        self._ledger, self._pending, self._told = ledger, 0, time.monotonic()

    def __call__(self, steps: int) -> None:
        self._pending += steps
        if time.monotonic() - self._told >= _TELL:
            self.tell()

    def tell(self) -> None:
        self._ledger.tick.remote(self._pending)
        self._pending, self._told = 0, time.monotonic()


def _check_capbench(parcel: Parcel) -> None:
    """Raises CapbenchError unless capbench is the same here, as far as the step goes."""
    if parcel.version != __version__ or parcel.code != training_code(parcel.modules):
        raise CapbenchError(
            f"capbench on node {platform.node()} is another one ({__version__} there, {parcel.version} here"
            + (", with other code" if parcel.version == __version__ else "")
            + "): install the same on all nodes"
        )


def _check_method(step: FineTune) -> None:
    """Raises CapbenchError unless the method is the same here, so that no model is kept under another one's key.

    A file was sent, but may have been edited before; of a module there may be another version.
    """
    found = registry.find(step.method.spec, arguments=step.method.arguments)
    if found.digest == step.method.digest:
        return
    raise CapbenchError(
        f"method {step.method.name!r} is another one on node {platform.node()} than when this run began: it, or a module that it "
        "imports, was edited (run it again), or it or capbench has another version there (install the same on all nodes)"
    )
