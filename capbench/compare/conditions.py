"""A claim of several conditions shows the one that decided, which may be another in the second run: finds it in the other run.

Reports do not keep the conditions that did not decide. But most are about one measurement, and all measurements are kept: the one
whose values are those of the condition is looked up by its name in the other run.
"""

from __future__ import annotations

from collections.abc import Mapping

from capbench.compare.changes import change
from capbench.compare.quantities import kind_of_claim
from capbench.compare.rows import RANK
from capbench.results import Record

Values = Mapping[int, float]


def moved_for(a: Record, b: Record, effects: Mapping[int, float | None]) -> int | None:
    """Whether the condition that decides the worse of the two records got better from A to B (1), worse (-1), or neither (0).

    Beyond what rounding does. effects: of the worse record, by seed. None where its values are no measurement's, or those of
    measurements that disagree.
    """
    worse, other = (b, a) if RANK[b.verdict.status] < RANK[a.verdict.status] else (a, b)
    known = {seed: value for seed, value in effects.items() if value is not None}
    here, there = _measured(worse), _measured(other)
    found = set()
    for name in [name for name, values in here.items() if known and values == known and name in there]:
        before, after = (there[name], here[name]) if worse is b else (here[name], there[name])
        moved = change(kind_of_claim(worse.verdict), before, after)
        if moved.told:
            found.add(moved.beyond if worse.verdict.direction == ">=" else -moved.beyond)
    return found.pop() if len(found) == 1 else None


def _measured(record: Record) -> Mapping[str, Values]:
    found: dict[str, dict[int, float]] = {}
    for measured in record.measurements:
        if measured.is_number and measured.value is not None and not measured.bound:
            found.setdefault(measured.name, {})[measured.seed] = measured.value
    return found
