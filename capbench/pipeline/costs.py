"""How long a plan will take, from what its store remembers: the seconds of finished steps, and work that was interrupted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from capbench.pipeline.plan import Plan
from capbench.pipeline.snapshots import steps_kept
from capbench.pipeline.steps import Step, Training, describe
from capbench.store.store import BUNDLED, Store


@dataclass(frozen=True, kw_only=True)
class _Made:
    """An artefact's configuration, and its time: per step that its training might have taken, or of the whole; None: unknown.

    A revival ends at its goal, and a method may train less than it could: the steps that were taken tell too little of another.
    """

    config: Mapping[str, Any]
    each: Time | None


@dataclass(frozen=True, kw_only=True)
class Time:
    """seconds: of which others that are made together with it have theirs; wall: by the clock, until all of them are made."""

    seconds: float
    wall: float

    def times(self, factor: float) -> Time:
        """So many times as long."""
        return Time(seconds=self.seconds * factor, wall=self.wall * factor)


class Speeds:
    """How fast steps were made before: the median over the artefacts of a store, by kind, method, model, batch size, precision.

    What was made in stacks tells how fast it is in stacks, what was made alone how fast it is alone, wherever both are known.
    """

    def __init__(self, store: Store) -> None:
        """Reads the metadata of all artefacts, unchecked: it is for an estimate only. Models of the package do not count."""
        made = {key: one for key, document in store.documents() if (one := _made(document)) is not None}
        found: dict[tuple[str, bool], list[Time]] = defaultdict(list)
        for one in made.values():
            with suppress(KeyError, TypeError, AttributeError):  # not written by this version
                if one.each is not None and (line := _line(one.config, made)) is not None:
                    for name in _names(line):
                        found[name, one.each.wall > one.each.seconds].append(one.each)
        self._unit = {
            name: Time(seconds=median(t.seconds for t in times), wall=median(t.wall for t in times))
            for name, times in found.items()
        }

    def time(self, step: Step, *, stacked: bool) -> Time | None:
        """The time that a step will take from its beginning; None where nothing alike was made before.

        stacked: it may be made together with others. A stack's time is what one alone takes at most, and the other way round.
        """
        line = [step]
        while line[-1].parents:
            line.append(line[-1].parents[0])
        for name in _names([json.loads(json.dumps(describe(each))) for each in line]):
            for way in (stacked, not stacked):
                if (unit := self._unit.get((name, way))) is not None:
                    each = unit if stacked else Time(seconds=unit.wall, wall=unit.wall)
                    return each.times(step.cost if isinstance(step, Training) else 1)
        return None


def _made(document: Mapping[str, Any]) -> _Made | None:
    """What an artefact's metadata say; None where this version did not write them."""
    if not isinstance(config := document.get("config"), Mapping):
        return None
    each = None
    with suppress(KeyError, TypeError, AttributeError):  # not written by this version
        meta = document["meta"]
        units = config["train"]["steps"] if "train" in config else 1
        if units and not meta.get(BUNDLED):  # what came with the package took another machine's time
            each = Time(seconds=meta["seconds"], wall=meta.get("wall", meta["seconds"])).times(1 / units)
    return _Made(config=config, each=each)


def _line(config: Mapping[str, Any], made: Mapping[str, _Made]) -> list[Mapping[str, Any]] | None:
    """The configurations of an artefact, its parent, and so on, to what its model began as; None if one is not in the store."""
    line = [config]
    while (parent := line[-1].get("start", line[-1].get("base"))) is not None:
        if parent not in made:
            return None
        line.append(made[parent].config)
    return line


def _names(line: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a step is like, as far as its time goes: with its method, and without. line: its configuration, its parent's, …

    What it comes from is part of it: a fine-tuned model is revived far sooner than one that never had the capability.
    """
    config, root = line[0], line[-1]
    # Names of code stand there as `name@hash`: an edit changes what is made, but hardly how fast.
    model = {n: v.partition("@")[0] if isinstance(v, str) else v for n, v in root.items() if n not in ("code", "seed")}
    train = config.get("train", {})
    alike = [[each["type"] for each in line], model]
    alike += [train.get(what) for what in ("batch_size", "device", "precision")]
    spec = config.get("method", {}).get("spec")
    return [json.dumps([*alike, spec], sort_keys=True), json.dumps(alike, sort_keys=True)]


class Costs:
    """What is missing of a plan, and what it will cost.

    missing: what is to be made, in the order in which it begins. times: on one core, by key; None where it is not known.
    kept: training steps by key that an interrupted run has left.
    """

    def __init__(self, plan: Plan, store: Store, missing: list[Step] | None = None, *, stack: int = 1) -> None:
        """missing: `plan.missing(store)`, where that is known; else every artefact that is there counts, unchecked.

        stack: models that are trained in one pass at most.
        """
        self._plan, self._stacked = plan, stack > 1
        self.missing = [s for s in plan.in_order() if not store.has(s.key)] if missing is None else missing
        self.kept = {step.key: min(step.cost, steps_kept(store.root, step.key)) for step in self.missing}
        self._store = store

    @cached_property
    def _speeds(self) -> Speeds:
        return Speeds(self._store)

    def usual(self, step: Step) -> Time | None:
        """The time that a whole step takes; None where nothing alike was made before."""
        return self._speeds.time(step, stacked=self._stacked)

    @cached_property
    def times(self) -> dict[str, Time | None]:
        found: dict[str, Time | None] = {}
        for step in self.missing:
            whole = self.usual(step)
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
