"""From how many machines on more of them no longer help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

WITHIN = 0.05


@dataclass(frozen=True, kw_only=True)
class Enough:
    """With `nodes` machines it takes `seconds`, at most `WITHIN` more than `best`: the time with a machine for every job.

    With one machine fewer it takes longer than that.
    """

    nodes: int
    seconds: float
    best: float


def enough(makespan: Callable[[int], float], most: int) -> Enough:
    """The number of machines from which on more no longer help.

    makespan: seconds with so many machines, from 1 to `most`. It need not fall with every further machine: a list schedule may
    get a little longer with more places. Where several numbers fit, the one that is found is not the smallest for certain.
    """
    best = makespan(most)
    limit = best * (1 + WITHIN)
    too_few, nodes, seconds = 0, 1, makespan(1)
    while seconds > limit:
        too_few, nodes = nodes, min(2 * nodes, most)
        seconds = makespan(nodes)
    while nodes - too_few > 1:
        middle = (too_few + nodes) // 2
        if (found := makespan(middle)) > limit:
            too_few = middle
        else:
            nodes, seconds = middle, found
    return Enough(nodes=nodes, seconds=seconds, best=best)
