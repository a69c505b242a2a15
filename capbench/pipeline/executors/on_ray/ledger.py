"""What has been begun and finished in a run: asked before any training, so that nothing that was finished is trained again."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from capbench.pipeline.executors import base
from capbench.pipeline.executors.on_ray.parcel import Failed, Made

_STRIKES = 2  # deaths of its process that are held to be a step's own fault


class Ledger:
    """An actor on the plan's own node: what it keeps survives the loss of any other.

    Ray carries a task out once more if its process dies, or if its result is lost with a node while others wait for it. Calls
    are answered one at a time, in the order in which they come. It ends with the plan's process; a run that loses it ends.
    """

    def __init__(self) -> None:
        self._finished: dict[str, Any] = {}  # key -> future of a Made
        self._begun: dict[str, list[str]] = defaultdict(list)  # key -> the nodes
        self._news: list[str] = []
        self._ticks = 0

    def begin(self, key: str, label: str, node: str) -> Failed | list[Any] | None:
        """None: go on. Else why not, or the future of what is finished already (in a list: not to be waited for on the way)."""
        if key in self._finished:
            return [self._finished[key]]
        if before := self._begun[key]:
            import ray

            alive = {each["NodeID"] for each in ray.nodes() if each["Alive"]}
            if sum(each in alive for each in before) >= _STRIKES:  # that a node was lost is not the step's fault
                return Failed(why=base.died(label))
        before.append(node)
        self._news.append(key)
        return None

    def finish(self, made: Made) -> None:
        """Keep what was made, here; of a step that was made twice, the first."""
        import ray

        if made.key not in self._finished:
            self._finished[made.key] = ray.put(made)

    def tick(self, steps: int) -> None:
        """So many training steps were done."""
        self._ticks += steps

    def news(self) -> tuple[list[str], int]:
        """The keys of steps that began, and training steps that were done, since the last call."""
        told = self._news, self._ticks
        self._news, self._ticks = [], 0
        return told
