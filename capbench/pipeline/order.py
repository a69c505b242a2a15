"""In which order the steps of a plan begin, when several could."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def in_order(
    costs: Mapping[str, int], parents: Mapping[str, Sequence[str]], priorities: Mapping[str, int]
) -> list[str]:
    """The keys of `costs` by the cost of the longest chain that starts with each, the largest first; equal ones as they stand.

    parents: by key, all of them keys of `costs`, where parents stand before their children. priorities: by key; the smallest come
    first, whatever their chains are. If no parent's is larger than its child's, parents come first in the result, too.
    """
    chain = dict(costs)
    for key in reversed(chain):
        for parent in parents[key]:
            chain[parent] = max(chain[parent], costs[parent] + chain[key])
    return sorted(chain, key=lambda key: (priorities.get(key, 0), -chain[key]))
