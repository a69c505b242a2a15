"""A plan for a run that may not have time for everything: the order of its groups is independent of how long they take."""

from __future__ import annotations

from collections.abc import Iterable

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step


class PriorityPlan(Plan):
    """The steps of several groups, earlier groups first; within a group the start of the longest chain first.

    Under a deadline, no step begins after the first one that would not finish in time, however short it is (running steps do
    finish). If the groups are in random order, the finished ones are then a random sample, not those with short steps.
    """

    strict_order = True

    def __init__(self, groups: Iterable[Iterable[Step]]) -> None:
        listed = [list(group) for group in groups]
        super().__init__(step for group in listed for step in group)
        found: dict[str, int] = {}
        for priority, group in enumerate(listed):
            for key in Plan(group).steps:
                found.setdefault(key, priority)
        self.priorities = found
