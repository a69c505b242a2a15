"""How long a plan will take, from what its store remembers: the seconds of finished steps, and work that was interrupted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from capbench.pipeline.alike import Kinds, kinds_made
from capbench.pipeline.plan import Plan
from capbench.pipeline.snapshots import steps_kept
from capbench.pipeline.steps import Step, Training
from capbench.store.store import BUNDLED, Store


@dataclass(frozen=True, kw_only=True)
class Time:
    """seconds: of which others that are made together with it have theirs; wall: by the clock, until all of them are made."""

    seconds: float
    wall: float

    def times(self, factor: float) -> Time:
        """So many times as long."""
        return Time(seconds=self.seconds * factor, wall=self.wall * factor)

    @property
    def alone(self) -> Time:
        """The time of one that is not made together with others: that of all of them, at most."""
        return Time(seconds=self.wall, wall=self.wall)


class Speeds:
    """How fast steps were made before: the median over the artefacts of a store, by kind (see `alike`).

    What was made in stacks tells how fast it is in stacks, what was made alone how fast it is alone, wherever both are known.
    """

    def __init__(self, store: Store) -> None:
        """Reads the metadata of all artefacts, unchecked: it is for an estimate only. Models of the package do not count."""
        made = {key: document for key, document in store.documents() if isinstance(document.get("config"), Mapping)}
        self._recorded = {key: time for key, document in made.items() if (time := _time(document)) is not None}
        found: dict[tuple[str, bool], list[Time]] = defaultdict(list)
        for key, names in kinds_made({key: document["config"] for key, document in made.items()}):
            if (each := _each(made[key]["config"], self._recorded.get(key))) is not None:
                for name in names:
                    found[name, each.wall > each.seconds].append(each)
        self._unit = {
            name: Time(seconds=median(t.seconds for t in times), wall=median(t.wall for t in times))
            for name, times in found.items()
        }
        self._kinds = Kinds()

    def time(self, step: Step, *, stacked: bool) -> Time | None:
        """The time that a step will take from its beginning; None where nothing alike was made before.

        stacked: it may be made together with others. A stack's time is what one alone takes at most, and the other way round.
        """
        if not self._unit:
            return None
        for name in self._kinds.of(step):
            for way in (stacked, not stacked):
                if (unit := self._unit.get((name, way))) is not None:
                    each = unit if stacked else unit.alone
                    return each.times(step.cost if isinstance(step, Training) else 1)
        return None

    def recorded(self, step: Step, *, stacked: bool) -> Time | None:
        """The time that this step took when it was made; None where that is not known."""
        found = self._recorded.get(step.key)
        return found if found is None or stacked else found.alone


def _time(document: Mapping[str, Any]) -> Time | None:
    """How long an artefact took to make; None where this version did not write it, or the package came with it."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):  # not written by this version
        meta = document["meta"]
        if not meta.get(BUNDLED):  # that took another machine's time
            return Time(seconds=float(meta["seconds"]), wall=float(meta.get("wall", meta["seconds"])))
    return None


def _each(config: Mapping[str, Any], time: Time | None) -> Time | None:
    """Its time per step that its training might have taken, or of the whole; None: unknown.

    A revival ends at its goal, and a method may train less than it could: the steps that were taken tell too little of another.
    """
    with suppress(KeyError, TypeError):  # not written by this version
        units = config["train"]["steps"] if "train" in config else 1
        return time.times(1 / units) if units and time is not None else None
    return None


class Costs:
    """What is missing of a plan, and what it will cost.

    missing: what is to be made, in the order in which it begins. times: on one core, by key; None where it is not known.
    kept: training steps by key that an interrupted run has left.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        missing: list[Step] | None = None,
        *,
        stack: int = 1,
        anew: bool = False,
        speeds: Speeds | None = None,
    ) -> None:
        """missing: `plan.missing(store)`, where that is known; else every artefact that is there counts, unchecked.

        stack: models that are trained in one pass at most. anew: from the beginning, whatever an interrupted run has left.
        speeds: of the store, if they are known.
        """
        self._plan, self._stacked = plan, stack > 1
        self.missing = [s for s in plan.in_order() if not store.has(s.key)] if missing is None else missing
        kept = {step.key: 0 if anew else steps_kept(store.root, step.key) for step in self.missing}
        self.kept = {step.key: min(step.cost, kept[step.key]) for step in self.missing}
        self._store, self._known = store, speeds

    @cached_property
    def _speeds(self) -> Speeds:
        return self._known or Speeds(self._store)

    def usual(self, step: Step) -> Time | None:
        """The time that a whole step takes; None where nothing alike was made before."""
        return self._speeds.time(step, stacked=self._stacked)

    @cached_property
    def times(self) -> dict[str, Time | None]:
        found: dict[str, Time | None] = {}
        for step in self.missing:
            whole = self._speeds.recorded(step, stacked=self._stacked) or self.usual(step)
            rest = 1 - self.kept[step.key] / step.cost if step.cost else 1.0
            found[step.key] = None if whole is None else whole.times(rest)
        return found

    @cached_property
    def seconds(self) -> dict[str, float | None]:
        """Of one core, by key; of a step in a stack its share."""
        return {key: None if time is None else time.seconds for key, time in self.times.items()}

    @property
    def unknown(self) -> list[Step]:
        """Trainings whose time nobody knows; what trains nothing is not worth a word."""
        return [step for step in self.missing if step.cost and self.seconds[step.key] is None]

    @property
    def total(self) -> float:
        """Seconds of one core, of what is known."""
        return sum(time or 0.0 for time in self.seconds.values())

    @property
    def steps(self) -> int:
        """Training steps that are left to do."""
        return sum(step.cost - self.kept[step.key] for step in self.missing)

    @cached_property
    def chain(self) -> list[Step]:
        """The missing steps that wait for each other for longest, the first first: no number of cores is faster."""
        known = not self.unknown
        longest: dict[str, tuple[float, list[Step]]] = {}
        for key, step in self._plan.steps.items():  # parents stand before their children
            behind = max((longest[p.key] for p in step.parents), key=lambda found: found[0], default=(0.0, []))
            if key in self.kept:
                own = self._wall(key) if known else step.cost - self.kept[key]
                longest[key] = (behind[0] + own, [*behind[1], step])
            else:
                longest[key] = behind
        return max(longest.values(), key=lambda found: found[0], default=(0.0, []))[1]

    def wall(self, jobs: int) -> float:
        """Seconds with so many cores, of what is known."""
        return max(self.total / jobs, sum(self._wall(step.key) for step in self.chain))

    def _wall(self, key: str) -> float:
        time = self.times[key]
        return 0.0 if time is None else time.wall

    def about(self, jobs: int) -> str:
        """A few words on how long it will take; '' where nothing is known."""
        if not self.total:
            return ""
        return f"{'more than' if self.unknown else 'about'} {duration(self.wall(jobs))}"


def duration(seconds: float) -> str:
    """As people say it: 8 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
