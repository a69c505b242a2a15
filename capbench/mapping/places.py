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
    def agreed(self) -> bool:
        """Whether all its seeds have one state."""
        return self.state is not None and len(set(self.per_seed.values())) == 1

    def read(self, tool: str) -> Evidence | None:
        """What a tool read here."""
        return next((e for e in self.evidence if e.tool == tool), None)


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Where, along one line of the map, a state begins. at: the other condition's value.

    last: the last value on whose every seed the state was not found; first: the first from which on all seeds have it. Between
    them it is not known, or differs by seed. None: there is no such value on the axis.
    """

    at: Value
    last: Value | None
    first: Value | None


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
        """What is found at each place, in a word; places that are not made yet are left out."""
        return {o.place: o.shown for o in self.outcomes if o.shown != NOT_YET}

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
    whole = [by_value[v].agreed and by_value[v].state is state for v in values]
    none = [state not in by_value[v].per_seed.values() for v in values]
    if not any(state in outcome.per_seed.values() for outcome in line):
        return None
    first = next((v for i, v in enumerate(values) if all(whole[i:])), None)
    last = None
    for i, v in enumerate(values):
        if not none[i]:
            break
        last = v
    return Boundary(at=up, last=last, first=first)
