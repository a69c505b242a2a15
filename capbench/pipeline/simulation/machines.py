"""The machines that a plan is simulated on: each kind stands for an executor."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from capbench.pipeline.executors.on_ray.capacity import Capacity, ahead
from capbench.pipeline.executors.on_ray.cluster import GPUS_PER_TASK


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Processes on one machine, as `executors.pool` has them."""

    cores: int

    def __str__(self) -> str:
        return f"one machine, {many(self.cores, 'core')}"


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """One process on one machine that trains up to `most` models in one pass, as `executors.inline` does."""

    most: int

    def __str__(self) -> str:
        return f"one machine, up to {many(self.most, 'model')} in one pass"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Nodes of a Ray cluster, as `executors.on_ray` uses them. cores, gpus: of each. share: of a GPU, for each training on one.

    at_a_time: steps that are handed to the cluster; None: as many as the executor would.
    """

    nodes: int
    cores: int
    gpus: int = 0
    share: float = GPUS_PER_TASK
    at_a_time: int | None = None

    @property
    def ahead(self) -> int:
        """Steps that are handed to the cluster at a time, those that wait for others among them."""
        return ahead(self.nodes * self.cores) if self.at_a_time is None else self.at_a_time

    @property
    def node(self) -> Capacity:
        """What runs on one node at a time."""
        return Capacity(cores=self.cores, gpus=self.gpus, share=self.share)

    def __str__(self) -> str:
        gpus = f" and {many(self.gpus, 'GPU')}" if self.gpus else ""
        shares = f", {self.share:g} of a GPU for each training" if self.gpus else ""
        return (
            f"{many(self.nodes, 'machine')} with {many(self.cores, 'core')}{gpus}{' each' * (self.nodes > 1)}{shares}"
        )


Machines = Workers | Stacks | Cluster


class Cores:
    """How many cores are free on a cluster, where no job needs more than one."""

    def __init__(self, free: int) -> None:
        self._free = free

    def take(self, on_gpu: bool) -> int | None:
        """A node, always the first; None if no core is free."""
        if not self._free:
            return None
        self._free -= 1
        return 0

    def give(self, node: int, on_gpu: bool) -> None:
        """A job has ended."""
        self._free += 1


class Places:
    """What is free on the nodes of a cluster: cores, and shares of GPUs.

    A job takes a core; one on a GPU also takes a share of a GPU of the same node. It goes where most is free of what it needs.
    Others go where cores are free that no GPU's share will need.
    """

    def __init__(self, nodes: int, node: Capacity) -> None:
        self._free = [(node.cores, node.on_gpus)] * nodes
        self._with: dict[tuple[int, int], list[int]] = defaultdict(list)  # nodes, by what was free there at some time
        self._many = Counter(self._free)
        self._with[node.cores, node.on_gpus] = list(range(nodes))

    def take(self, on_gpu: bool) -> int | None:
        """The node that a job begins on now; None if it has to wait."""
        able = [free for free in self._many if free[0] and (free[1] or not on_gpu)]
        if not able:
            return None
        cores, shares = max(able, key=lambda free: (free[1], free[0]) if on_gpu else (free[0] - free[1], free[0]))
        nodes = self._with[cores, shares]
        while self._free[node := nodes.pop()] != (cores, shares):
            pass
        self._set(node, (cores - 1, shares - on_gpu))
        return node

    def give(self, node: int, on_gpu: bool) -> None:
        """A job there has ended."""
        cores, shares = self._free[node]
        self._set(node, (cores + 1, shares + on_gpu))

    def _set(self, node: int, free: tuple[int, int]) -> None:
        if self._many[self._free[node]] == 1:
            del self._many[self._free[node]]
        else:
            self._many[self._free[node]] -= 1
        self._free[node] = free
        self._many[free] += 1
        self._with[free].append(node)


def many(n: int, what: str) -> str:
    """As in `2 cores`."""
    return f"{n} {what}{'s' * (n != 1)}"
