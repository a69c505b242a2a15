"""Which steps of a run have begun and finished: asked before every step, so that no finished step is trained again."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from capbench.pipeline.executors import base
from capbench.pipeline.executors.on_ray.payload import Failed, Made

_MOST_DEATHS = 2  # process deaths after which a step counts as their cause


class Ledger:
    """An actor on the plan's node: its records survive the loss of any other node.

    Ray runs a task again if its process dies, or if its result is lost with a node while others wait for it. Calls are answered
    one at a time, in order. The actor ends with the plan's process; a run that loses it ends.
    """

    def __init__(self) -> None:
        self._finished: dict[str, Any] = {}  # key -> future of a Made
        self._begun: dict[str, list[str]] = defaultdict(list)  # key -> nodes
        self._news: list[str] = []
        self._ticks = 0

    def begin(self, key: str, label: str, node: str) -> Failed | list[Any] | None:
        """None: carry it out. Else why not, or a future of the finished result (in a list, so that Ray does not resolve it)."""
        if key in self._finished:
            return [self._finished[key]]
        if before := self._begun[key]:
            import ray

            alive = {each["NodeID"] for each in ray.nodes() if each["Alive"]}
            if sum(each in alive for each in before) >= _MOST_DEATHS:  # a lost node is not the step's fault
                return Failed(why=base.died(label))
        before.append(node)
        self._news.append(key)
        return None

    def finish(self, made: Made) -> None:
        """Keep an artefact here; for a step made twice, the first one."""
        import ray

        if made.key not in self._finished:
            self._finished[made.key] = ray.put(made)

    def tick(self, steps: int) -> None:
        """Count training steps."""
        self._ticks += steps

    def news(self) -> tuple[list[str], int]:
        """Keys of steps begun, and the number of training steps done, since the last call."""
        news = self._news, self._ticks
        self._news, self._ticks = [], 0
        return news
