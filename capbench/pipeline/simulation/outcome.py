"""What a simulation gives: of every part of a plan, and of more machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from capbench.pipeline.simulation.enough import Enough, enough
from capbench.pipeline.simulation.graph import Graph, Job
from capbench.pipeline.simulation.machines import Cluster, Machines, Stacks
from capbench.pipeline.simulation.schedule import Schedule, schedule


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a plan, which begins when the one before is made. schedule: None where no time is known."""

    name: str
    graph: Graph
    schedule: Schedule | None

    def as_json(self) -> dict[str, Any]:
        chain, schedule = self.graph.chain, self.schedule
        return {
            "name": self.name,
            "models": len(self.graph.missing),
            "seconds": schedule and schedule.makespan,
            "utilisation": schedule and schedule.utilisation,
            "chain": {
                "seconds": chain.seconds,
                "steps": chain.steps,
                "models": [job.label for job in chain.jobs],
            },
        }


@dataclass(frozen=True, kw_only=True)
class Numbered:
    """So many machines take `seconds`. utilisation: see `Schedule`."""

    nodes: int
    seconds: float
    utilisation: float | None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """parts: those in which something is missing. models: of the whole plan, with those that are there. cluster: of machines like
    these, as Ray would use them.

    methods: how many there are. shared: models that are made once for all of them; None where no further methods are supposed.
    numbers: what numbers of such machines take, and enough: how many gain something; none where machines are no cluster, and
    where no time is known.
    """

    machines: Machines
    cluster: Cluster
    parts: Sequence[Part]
    models: int
    methods: int
    shared: int | None
    numbers: Sequence[Numbered] = ()
    enough: Enough | None = None

    @property
    def missing(self) -> list[Job]:
        """What is to be made."""
        return [job for part in self.parts for job in part.graph.missing]

    @property
    def steps(self) -> int:
        """Training steps that are left to do."""
        return sum(job.left for job in self.missing)

    @property
    def unknown(self) -> list[Job]:
        """Trainings whose time is not known."""
        return [job for part in self.parts for job in part.graph.unknown]

    @property
    def seconds(self) -> float | None:
        """Until all is made, of what is known; None where nothing is."""
        times = [part.schedule.makespan for part in self.parts if part.schedule]
        return sum(times) if times else None

    @property
    def chain(self) -> float | None:
        """Seconds of the longest chains of all parts: no number of machines is faster. None where some time is not known."""
        chains = [part.graph.chain.seconds for part in self.parts]
        known = [seconds for seconds in chains if seconds is not None]
        return sum(known) if len(known) == len(chains) else None

    @property
    def least(self) -> float:
        """Seconds of the longest chains of all parts, of what is known."""
        return sum(part.graph.least for part in self.parts)

    @property
    def core_seconds(self) -> float:
        """Work on cores alone, of what is known."""
        return sum(job.time.seconds for job in self.missing if job.time and not job.on_gpu)

    @property
    def gpu_seconds(self) -> float:
        """Work on GPUs, of what is known: of a training that has a share of a GPU, this share."""
        share = self.machines.share if isinstance(self.machines, Cluster) else 1.0
        return share * sum(job.time.seconds for job in self.missing if job.time and job.on_gpu)

    @property
    def size(self) -> float:
        """Bytes of the artefacts that are to be made, of those that are known."""
        return sum(job.size or 0.0 for job in self.missing)

    @property
    def of_unknown_size(self) -> int:
        """Artefacts whose size is not known."""
        return sum(job.size is None for job in self.missing)

    def as_json(self) -> dict[str, Any]:
        """As plain values: seconds, bytes, shares of 0..1; None for what is not known."""
        return {
            "machines": str(self.machines),
            "methods": self.methods,
            "models": {
                "all": self.models,
                "missing": len(self.missing),
                "shared": self.shared,
                "unknown_time": len(self.unknown),
                "unknown_size": self.of_unknown_size,
            },
            "steps": self.steps,
            "steps_of_unknown_time": sum(job.left for job in self.unknown),
            "bytes": self.size,
            "core_seconds": self.core_seconds,
            "gpu_seconds": self.gpu_seconds,
            "seconds": self.seconds,
            "utilisation": utilisation([part.schedule for part in self.parts if part.schedule]),
            "chain_seconds": self.chain,
            "parts": [part.as_json() for part in self.parts],
            "numbers": [vars(number) for number in self.numbers],
            "enough": self.enough and vars(self.enough),
        }


def utilisation(schedules: Sequence[Schedule]) -> float | None:
    """The share of the machines' places that is filled, over schedules that follow each other; None where nothing takes time."""
    room = sum(each.at_once * each.makespan for each in schedules)
    return sum(each.busy for each in schedules) / room if room else None


def outcome(
    graphs: Mapping[str, Graph], machines: Machines, cluster: Cluster, *, methods: int = 1, shared: int | None = None
) -> Outcome:
    """The parts of a plan, by name in the order in which they are made, on the given machines. The rest: see `Outcome`."""
    parts = {name: graph for name, graph in graphs.items() if graph.missing}
    trainings = [job for graph in parts.values() for job in graph.missing if job.left]
    known = any(job.time for job in trainings) or not trainings
    found = Outcome(
        machines=machines,
        cluster=cluster,
        parts=[
            Part(name=name, graph=graph, schedule=schedule(graph, machines) if known else None)
            for name, graph in parts.items()
        ],
        models=len({key for graph in graphs.values() for key in graph.jobs}),
        methods=methods,
        shared=shared,
    )
    if not parts or not known or isinstance(machines, Stacks):
        return found

    @cache
    def on(nodes: int) -> Numbered:
        there = [schedule(graph, replace(cluster, nodes=nodes)) for graph in parts.values()]
        return Numbered(nodes=nodes, seconds=sum(each.makespan for each in there), utilisation=utilisation(there))

    most = max(len(graph.missing) for graph in parts.values())
    least = enough(lambda nodes: on(nodes).seconds, most)
    shown = {2**i for i in range(20) if 2**i < least.nodes} | {least.nodes, cluster.nodes}
    return replace(found, enough=least, numbers=[on(nodes) for nodes in sorted(shown)])
