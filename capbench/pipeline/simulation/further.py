"""A plan for more methods than there are: the models that depend on a method, once more for each further one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from capbench.pipeline.simulation.graph import Graph, Job


def with_further(graph: Graph, like: Sequence[Graph], n: int) -> Graph:
    """The graph, with the jobs that n further methods add.

    like: graphs of methods that are not in the graph; the further methods are like these, in turn. What such a graph shares with
    the given one does not depend on its method, and is made once for all.
    """
    return Graph([*graph.jobs.values(), *_added(graph, like, n)])


def _added(graph: Graph, like: Sequence[Graph], n: int) -> Iterator[Job]:
    own = [[job for job in each.jobs.values() if job.key not in graph.jobs] for each in like]
    for i in range(n):
        names = {job.key: f"{job.key} {i}" for job in own[i % len(own)]}
        yield from (job.renamed(names) for job in own[i % len(own)])
