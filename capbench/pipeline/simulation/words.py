"""A simulation in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from capbench.pipeline.costs import duration
from capbench.pipeline.outline import short
from capbench.pipeline.simulation.enough import WITHIN
from capbench.pipeline.simulation.machines import Cluster, Stacks, many
from capbench.pipeline.simulation.outcome import Outcome, Part, utilisation
from capbench.store.sizes import shown

_SPARE = 1.05  # how much longer than the longest chain the best time is before a reason is given
_NOT_COUNTED = "not counted: measurements, the start of processes, sending models between machines"


def lines(found: Outcome) -> Iterator[str]:
    """Lines for a terminal."""
    yield f"simulated: {found.machines}{', a Ray cluster' if isinstance(found.machines, Cluster) else ''}"
    there = found.models - len(found.missing)
    yield f"{many(found.models, 'model')}, {there} there, {len(found.missing)} to make ({found.steps} training steps)"
    if found.shared is not None:
        yield f"{found.methods} methods; {found.shared} of the models to make serve all of them"
    if not found.missing:
        yield "nothing is to be made; with --empty-cache, what the cache holds is made, too"
        return
    yield f"room: {_room(found)}"
    yield f"work: {_work(found)}"
    if found.seconds is None:
        for part in found.parts:
            yield f"{part.name}: {_size(part)}, the longest chain {part.graph.chain.steps} training steps: {part.graph.chain}"
        return
    yield f"time: {'more than ' * bool(found.unknown)}{duration(found.seconds)}{_at_work(found)}"
    for part in found.parts:
        yield f"  {part.name}: {_size(part)}, {_took(part)}"
        yield f"    longest chain: {_chain(part)}"
    yield from _numbers(found)
    yield _NOT_COUNTED


def _room(found: Outcome) -> str:
    without = found.of_unknown_size
    if without == len(found.missing):
        return "unknown, as the cache has no similar models"
    return shown(found.size) + (f", and that of {many(without, 'model')}, which is unknown" if without else "")


def _work(found: Outcome) -> str:
    parts = [(found.core_seconds, "core"), (found.gpu_seconds, "GPU")]
    words = " and ".join(f"{seconds / 3600:.3g} {what} hours" for seconds, what in parts if seconds)
    if not found.unknown:
        return words or "none"
    steps, one = sum(job.left for job in found.unknown), short(found.unknown[0].label)
    unknown = f"{many(len(found.unknown), 'training')} ({steps} steps) unlike all in the cache, as '{one}'"
    return f"{words}, and that of {unknown}" if words else f"unknown: {unknown}"


def _at_work(found: Outcome) -> str:
    used = utilisation([part.schedule for part in found.parts if part.schedule])
    if used is None:
        return ""
    return (
        f"; stacks are {_percent(used)} full" if isinstance(found.machines, Stacks) else f"; {_percent(used)} at work"
    )


def _size(part: Part) -> str:
    return many(len(part.graph.missing), "model")


def _took(part: Part) -> str:
    trainings = [job for job in part.graph.missing if job.left]
    if part.schedule is None or (trainings and len(part.graph.unknown) == len(trainings)):
        return "time unknown"
    return f"{'more than ' * bool(part.graph.unknown)}{duration(part.schedule.makespan)}"


def _chain(part: Part) -> str:
    chain = part.graph.chain
    took = f"{chain.steps} training steps" if chain.seconds is None else duration(chain.seconds)
    return f"{took}: {chain}"


def _numbers(found: Outcome) -> Iterator[str]:
    """What other numbers of machines take."""
    from tabulate import tabulate

    if (least := found.enough) is None:
        return
    rows = [
        (n.nodes, duration(n.seconds), "" if n.utilisation is None else _percent(n.utilisation)) for n in found.numbers
    ]
    align = ("right",) * 3
    table = tabulate(
        rows, headers=("machines", "time", "at work"), tablefmt="simple", colalign=align, disable_numparse=True
    )
    yield from (f"  {line}" for line in table.splitlines())
    best = f"within {100 * WITHIN:.0f} % of the best ({duration(least.best)})"
    yield f"more than {many(least.nodes, 'such machine')} gain nothing: {duration(least.seconds)}, {best}"
    if least.best > _SPARE * found.least:
        ahead = replace(found.cluster, nodes=least.nodes).ahead
        yield f"the longest chains take {duration(found.least)}: such a cluster is handed {ahead} steps at a time"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
