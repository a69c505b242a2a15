"""What was found at each place of a map, and where its boundaries run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capbench.mapping.grid import Axis, Place, Value, edges, ordered
from capbench.results import CapabilityState, Collateral, Evidence

NOT_YET = "not yet"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One place. state: over all seeds; per_seed: on each. why: the reason, or what stands in place of a state, as 'diverged'.

    evidence: what each tool read, behaviour first. collateral: what else was lost.
    """

    place: Place
    state: CapabilityState | None = None
    per_seed: Mapping[int, CapabilityState] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    collateral: Collateral | None = None
    why: str = ""

    @property
    def shown(self) -> str:
        """In a word."""
        return self.why.partition(":")[0] if self.state is None else str(self.state)

    @property
    def decided(self) -> bool:
        """Whether it has a state."""
        return self.state not in (None, CapabilityState.UNDECIDED)

    @property
    def agreed(self) -> bool:
        """Whether all its seeds have one state."""
        return self.state is not None and len(set(self.per_seed.values())) == 1

    def read(self, tool: str) -> Evidence | None:
        """What a tool read here."""
        return next((e for e in self.evidence if e.tool == tool), None)


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Where, along one line of the map, a state begins and ends. at: the other condition's value.

    first, until: the first and the last value on whose every seed it was found, with none between them on which it surely was
    not. last, beyond: the nearest values before and after these on which it was found on no seed. Between last and first, and
    between until and beyond, it is not known, or differs by seed. What has no state, as a place that diverged, says nothing of
    where it begins. None: there is no such value on the axis. seeds: the fewest that these values have.
    """

    at: Value
    last: Value | None
    first: Value | None
    until: Value | None = None
    beyond: Value | None = None
    seeds: int = 1


@dataclass(frozen=True, kw_only=True)
class Map:
    """A whole map. fixed: the conditions that are the same everywhere. tools: of the evidence, in order of appearance."""

    x: Axis
    y: Axis
    fixed: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]

    @property
    def by_place(self) -> dict[Place, Outcome]:
        return {outcome.place: outcome for outcome in self.outcomes}

    @property
    def tools(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(e.tool for outcome in self.outcomes for e in outcome.evidence))

    @property
    def states(self) -> dict[Place, str]:
        """The state of each place, in a word. Places of which it is not known, as what diverged or is undecided, are left out."""
        return {o.place: o.shown for o in self.outcomes if o.decided}

    @property
    def edge(self) -> list[Place]:
        """The places beside a boundary."""
        found = [place for pair in edges(self.x, self.y, self.states) for place in pair]
        return list(dict.fromkeys(found))

    @property
    def left(self) -> int:
        """How many places are not made yet."""
        return sum(outcome.shown == NOT_YET for outcome in self.outcomes)

    def boundaries(self, state: CapabilityState) -> tuple[Boundary, ...]:
        """Along x, for each value of y: where the state begins (see `Boundary`). Only lines with two places or more."""
        found = []
        for up in ordered(self.y, {o.place[1] for o in self.outcomes}):
            line = [o for o in self.outcomes if o.place[1] == up and o.shown != NOT_YET]
            if len(line) > 1 and (boundary := _along(self.x, up, line, state)):
                found.append(boundary)
        return tuple(found)


def _along(x: Axis, up: Value, line: Sequence[Outcome], state: CapabilityState) -> Boundary | None:
    by_value = {outcome.place[0]: outcome for outcome in line}
    values = ordered(x, by_value)
    if not any(state in outcome.per_seed.values() for outcome in line):
        return None
    there = [i for i, v in enumerate(values) if by_value[v].agreed and by_value[v].state is state]
    absent = [i for i, v in enumerate(values) if _surely_not(by_value[v], state)]
    # Where no place has it on all seeds, it is looked for from the first that has it on some.
    some = next(i for i, v in enumerate(values) if state in by_value[v].per_seed.values())
    first = there[0] if there else some
    beyond = next((i for i in absent if i > first), len(values))
    found = {
        "last": max((i for i in absent if i < first), default=None),
        "first": first if there else None,
        "until": max((i for i in there if i < beyond), default=None),
        "beyond": beyond if beyond < len(values) else None,
    }
    seeds = min(len(by_value[values[i]].per_seed) for i in found.values() if i is not None) if there else 1
    return Boundary(at=up, seeds=seeds, **{name: None if i is None else values[i] for name, i in found.items()})


def _surely_not(outcome: Outcome, state: CapabilityState) -> bool:
    """Whether all its seeds have states, none of them this one."""
    states = set(outcome.per_seed.values())
    return bool(states) and not states & {state, CapabilityState.UNDECIDED}
