"""A plan as far as a schedule goes: jobs, which wait for each other, and how long each takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from capbench.pipeline.costs import Costs, Time
from capbench.pipeline.executors.on_ray.capacity import on_gpu
from capbench.pipeline.order import in_order
from capbench.pipeline.outline import short
from capbench.pipeline.plan import Plan
from capbench.pipeline.room import Room


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One step of a plan.

    parents: keys. cost: training steps, by which a plan is ordered; left: those that are left to do. time: that it will take;
    None: not known. size: of its artefact, in bytes; None: not known. missing: whether it has to be made at all.
    """

    key: str
    label: str
    parents: tuple[str, ...] = ()
    cost: int = 0
    left: int = 0
    time: Time | None = None
    size: float | None = None
    on_gpu: bool = False
    missing: bool = True
    priority: int = 0

    def renamed(self, names: Mapping[str, str]) -> Job:
        """The same work once more: this job, and those of its parents that have one, under other keys."""
        return replace(self, key=names[self.key], parents=tuple(names.get(key, key) for key in self.parents))


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Jobs that wait for each other, the first first. seconds: None where the time of some job of the graph is not known."""

    jobs: tuple[Job, ...]
    seconds: float | None

    @property
    def steps(self) -> int:
        """Training steps that are left to do."""
        return sum(job.left for job in self.jobs)

    def __str__(self) -> str:
        return " -> ".join(short(job.label) for job in self.jobs if job.left)


class Graph:
    """Jobs by key, parents before their children."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        """Raises ValueError for a job that stands before a parent, or has one that is not there."""
        self.jobs: dict[str, Job] = {}
        for job in jobs:
            if absent := [key for key in job.parents if key not in self.jobs]:
                raise ValueError(f"job {job.key!r}: its parent {absent[0]!r} must stand before it")
            self.jobs[job.key] = job

    @classmethod
    def of(cls, plan: Plan, costs: Costs, room: Room) -> Graph:
        """The jobs of a plan. costs: of what is missing of it."""
        return cls(
            Job(
                key=key,
                label=step.label,
                parents=tuple(parent.key for parent in step.parents),
                cost=step.cost,
                left=step.cost - costs.kept[key] if key in costs.kept else 0,
                time=costs.times.get(key),
                size=room.of(step),
                on_gpu=on_gpu(step),
                missing=key in costs.kept,
                priority=plan.priorities.get(key, 0),
            )
            for key, step in plan.steps.items()
        )

    @cached_property
    def missing(self) -> list[Job]:
        """What has to be made, in the order in which it begins if nothing keeps it waiting."""
        costs = {key: job.cost for key, job in self.jobs.items()}
        parents = {key: job.parents for key, job in self.jobs.items()}
        priorities = {key: job.priority for key, job in self.jobs.items()}
        return [self.jobs[key] for key in in_order(costs, parents, priorities) if self.jobs[key].missing]

    @cached_property
    def children(self) -> list[list[int]]:
        """By place among `missing`: the places of those that wait for it."""
        place = {job.key: i for i, job in enumerate(self.missing)}
        found: list[list[int]] = [[] for _ in self.missing]
        for i, job in enumerate(self.missing):
            for key in job.parents:
                if key in place:
                    found[place[key]].append(i)
        return found

    @property
    def waits_for(self) -> list[int]:
        """By place among `missing`: for how many it waits; a new list."""
        found = [0] * len(self.missing)
        for children in self.children:
            for child in children:
                found[child] += 1
        return found

    @property
    def unknown(self) -> list[Job]:
        """Trainings whose time is not known; what trains nothing is not worth a word."""
        return [job for job in self.missing if job.time is None and job.left]

    @property
    def seconds(self) -> float:
        """Of one core, or of one training on a GPU; of what is known."""
        return sum(job.time.seconds for job in self.missing if job.time)

    @cached_property
    def chain(self) -> Chain:
        """The missing jobs that wait for each other for longest, in seconds if all are known, else in training steps.

        No number of machines is faster.
        """
        if self.unknown:
            _, jobs = self._longest([job.left for job in self.missing])
            return Chain(jobs=jobs, seconds=None)
        seconds, jobs = self._longest([wall(job) for job in self.missing])
        return Chain(jobs=jobs, seconds=seconds)

    @cached_property
    def least(self) -> float:
        """Seconds of the chain that takes longest, of what is known."""
        return self._longest([wall(job) for job in self.missing])[0]

    def _longest(self, lengths: Sequence[float]) -> tuple[float, tuple[Job, ...]]:
        """The longest chain, with these lengths of the missing jobs."""
        until = [0.0] * len(lengths)  # it is made, after all that it waits for
        before: list[int | None] = [None] * len(lengths)  # the one of its parents that is made last
        for i, length in enumerate(lengths):  # parents come first
            until[i] += length
            for child in self.children[i]:
                if before[child] is None or until[i] > until[child]:
                    until[child], before[child] = until[i], i
        last = max(range(len(until)), key=until.__getitem__, default=None)
        total = 0.0 if last is None else until[last]
        found: list[Job] = []
        while last is not None:
            found.append(self.missing[last])
            last = before[last]
        return total, tuple(reversed(found))


def wall(job: Job) -> float:
    """Seconds by the clock, 0 where they are not known."""
    return job.time.wall if job.time else 0.0
