"""A plan for when the time may not be enough for all: what comes first is not decided by how long it takes."""

from __future__ import annotations

from collections.abc import Iterable

from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Step


class Turns(Plan):
    """The steps of several groups, those of earlier groups first; within a group the start of the longest chain first.

    Under a deadline none begins after the first that would not be finished in time, however short it is (those that are running
    by then are finished): of groups in a random order, those that are left finished are then as good as random, and not those
    whose steps are short.
    """

    in_turn = True

    def __init__(self, groups: Iterable[Iterable[Step]]) -> None:
        listed = [list(group) for group in groups]
        super().__init__(step for group in listed for step in group)
        self._turn: dict[str, int] = {}
        for turn, group in enumerate(listed):
            for key in Plan(group).steps:
                self._turn.setdefault(key, turn)

    def in_order(self) -> list[Step]:
        """All steps in the order in which they would begin."""
        return sorted(super().in_order(), key=lambda step: self._turn[step.key])
