"""When each job of a graph would begin and end on given machines: as the plan's loop and its executors would have it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from capbench.pipeline.simulation.graph import Graph, wall
from capbench.pipeline.simulation.machines import Cluster, Cores, Machines, Places, Stacks, Workers


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """begun, ended: seconds from the beginning, by place in the graph's `missing`; NaN in both for no job.

    at_once: jobs that fit on the machines. busy: seconds of the jobs, summed. Where jobs need GPUs, both count only those.
    """

    begun: Sequence[float]
    ended: Sequence[float]
    busy: float
    at_once: int

    @property
    def makespan(self) -> float:
        """Seconds until all is made."""
        return max(self.ended, default=0.0)

    @property
    def utilisation(self) -> float | None:
        """The share of the machines' places that jobs fill, over time, 0..1; None where nothing takes time."""
        return self.busy / (self.at_once * self.makespan) if self.makespan else None


def schedule(graph: Graph, machines: Machines) -> Schedule:
    """What is missing of a graph, scheduled. A job whose time is not known takes none.

    Jobs begin in the order of `Plan.in_order`, as soon as their parents are made and a place is free. A cluster is handed a
    number of jobs ahead; it begins first those of them that could begin first. Raises ValueError for jobs on GPUs and machines
    without.
    """
    match machines:
        case Workers():
            return _one_by_one(graph, Cluster(nodes=1, cores=machines.cores), ahead=0)
        case Stacks():
            return _in_rounds(graph, machines.most)
        case Cluster():
            return _one_by_one(graph, machines, ahead=machines.ahead)


def _one_by_one(graph: Graph, cluster: Cluster, *, ahead: int) -> Schedule:
    """Each job begins as soon as it can. ahead: jobs that are handed out at a time; 0: none before it begins."""
    jobs, children, waits_for, node = graph.missing, graph.children, graph.waits_for, cluster.node
    if (gpus := any(job.on_gpu for job in jobs)) and not node.on_gpus:
        raise ValueError(f"{cluster}: no GPU, but {next(job.label for job in jobs if job.on_gpu)!r} needs one")
    places = Places(cluster.nodes, node) if gpus else Cores(cluster.nodes * node.cores)
    begun, ended, at = [math.nan] * len(jobs), [math.nan] * len(jobs), [0] * len(jobs)
    ready: tuple[list[tuple[float, int]], ...] = ([], [])  # heaps: for a core alone, for a GPU
    running: list[tuple[float, int]] = []  # a heap, by end
    now, handed, unfinished = 0.0, 0, 0

    def can_begin(i: int) -> None:
        heapq.heappush(ready[jobs[i].on_gpu], (now if ahead else 0.0, i))

    while True:
        while handed < len(jobs) and (not ahead or unfinished < ahead):
            handed, unfinished = handed + 1, unfinished + 1
            if not waits_for[handed - 1]:
                can_begin(handed - 1)
        heaps = [heap for heap in ready if heap]
        while heaps:
            heap = min(heaps, key=lambda heap: heap[0])
            i = heap[0][1]
            if (place := places.take(jobs[i].on_gpu)) is None:
                heaps.remove(heap)
                continue
            heapq.heappop(heap)
            at[i], begun[i], ended[i] = place, now, now + wall(jobs[i])
            heapq.heappush(running, (ended[i], i))
            heaps = [heap for heap in heaps if heap]
        if not running:
            break
        now = running[0][0]
        while running and running[0][0] == now:
            _, i = heapq.heappop(running)
            places.give(at[i], jobs[i].on_gpu)
            unfinished -= 1
            for child in children[i]:
                waits_for[child] -= 1
                if not waits_for[child] and child < handed:
                    can_begin(child)
    busy = sum(wall(job) for job in jobs if job.on_gpu or not gpus)
    at_once = cluster.nodes * (min(node.cores, node.on_gpus) if gpus else node.cores)
    return Schedule(begun=begun, ended=ended, busy=busy, at_once=at_once)


def _in_rounds(graph: Graph, most: int) -> Schedule:
    """So many jobs begin together, and the next ones when all of them have ended.

    A round takes the sum of its jobs' shares in a stack's time, and no less than the longest of them by the clock.
    """
    jobs, children, waits_for = graph.missing, graph.children, graph.waits_for
    begun, ended = [math.nan] * len(jobs), [math.nan] * len(jobs)
    ready = [i for i, waiting in enumerate(waits_for) if not waiting]  # a heap
    now = busy = 0.0
    while ready:
        together = [heapq.heappop(ready) for _ in range(min(most, len(ready)))]
        times = [time for i in together if (time := jobs[i].time) is not None]
        took = max([sum(time.seconds for time in times), *(time.wall for time in times)])
        for i in together:
            begun[i], ended[i] = now, now + took
            for child in children[i]:
                waits_for[child] -= 1
                if not waits_for[child]:
                    heapq.heappush(ready, child)
        now, busy = now + took, busy + took * len(together)
    return Schedule(begun=begun, ended=ended, busy=busy, at_once=most)
