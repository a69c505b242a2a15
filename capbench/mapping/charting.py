"""How a map is made: every place on one seed, then places between those that differ, then those on all seeds. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from capbench.errors import CapbenchError, UsageError
from capbench.mapping.grid import Axis, Place, coarse, edges, halfway
from capbench.mapping.places import NOT_YET, Map, Outcome
from capbench.pipeline.plan import Plan
from capbench.pipeline.priority_plan import PriorityPlan
from capbench.results import CapabilityState, Status
from capbench.session.losing import Open
from capbench.session.making import make
from capbench.session.options.at_once import AtOnce
from capbench.session.reading_ahead import read_ahead
from capbench.session.studies import each
from capbench.store.store import Store
from capbench.studies.deletion.claims import needed_for_a_state, state_is, tuned
from capbench.studies.deletion.study import DeletionCounter
from capbench.studies.judge import BySeed, Case, Claim, InvalidClaimError, Judge
from capbench.studies.lab import Lab
from capbench.verdicts import controls
from capbench.verdicts.capability import assess
from capbench.zoo.bundle import shelf

STUDY = "deletion-counter"
CLAIM = Claim(id="map", source="", needs=tuned, needs_where_lost=needed_for_a_state, study=STUDY)
BITS_APART = 0.20  # as in the suites: never taught - pretrained, in bits per sample


@dataclass(kw_only=True)
class Charting:
    """Makes a map. fixed: conditions that are the same at every place. seeds: the first is every place's, all are those of places

    at a boundary. refine: how often to look halfway between places that differ. deadline: in time.monotonic()'s seconds; no
    training begins that would not end by then, and the same call goes on from there.
    """

    x: Axis
    y: Axis
    fixed: Mapping[str, Any]
    study: DeletionCounter
    store: Store
    seeds: Sequence[int]
    refine: int = 0
    at_once: AtOnce = field(default_factory=AtOnce)
    say: Callable[[str], None] = print
    deadline: float = math.inf
    _errors: dict[str, str] = field(default_factory=dict)
    _found: dict[Place, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises UsageError, one line, for conditions that the study does not have."""
        if self.x.name == self.y.name:
            raise UsageError(f"-x and -y are both {self.x.name}; a map needs two conditions")
        if twice := [axis.name for axis in (self.x, self.y) if axis.name in self.fixed]:
            raise UsageError(f"{twice[0]} is a condition of the map and fixed; leave one of them out")
        for place in coarse(self.x, self.y):
            self._steps(place, self.seeds[:1])
        self._lab = Lab(self.store, bundled=shelf())

    def chart(self) -> Map:
        """The whole map, as far as there is time."""
        self._look(coarse(self.x, self.y), self.seeds[:1])
        for _ in range(self.refine):
            found = self.map
            more = [p for p in halfway(self.x, self.y, edges(self.x, self.y, found.states)) if p not in self._found]
            if not more or found.left:
                break
            self.say(f"capbench: {len(more)} more places lie halfway between places that differ")
            self._look(more, self.seeds[:1])
        # Three seeds may move a boundary, so that other places lie beside it then.
        while not self.map.left and (edge := self.edge_on_fewer_seeds):
            self.say(f"capbench: {len(edge)} places lie at a boundary: on {len(self.seeds)} seeds")
            self._look(edge, self.seeds)
            if self.edge_on_fewer_seeds == edge:  # time is up
                self.say("capbench: they have fewer seeds yet; run the same command again for the others")
                break
        return self.map

    @property
    def edge_on_fewer_seeds(self) -> list[Place]:
        """Places beside a boundary that were not tried on all seeds yet."""
        return [p for p in self.map.edge if len(self._found[p].per_seed) < len(self.seeds)]

    @property
    def map(self) -> Map:
        """What was found so far."""
        return Map(x=self.x, y=self.y, fixed=self.fixed, outcomes=tuple(self._found.values()))

    def _steps(self, place: Place, seeds: Sequence[int]) -> tuple[BySeed, BySeed]:
        """The models of a place: those that are needed in any case, and all. Raises UsageError for what is no condition."""
        case = self._case(place)
        try:
            every = {seed: CLAIM.models(self.study, seed, case) for seed in seeds}
            always = {seed: {n: every[seed][n] for n in CLAIM.needs(self.study, seed, case)} for seed in seeds}
        except CapbenchError as error:
            raise UsageError(f"{case}: {error}") from None
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise UsageError(f"{case}: these are no conditions of a model ({error})") from None
        return always, every

    def _case(self, place: Place) -> Case:
        return Case(**{**self.fixed, self.x.name: place[0], self.y.name: place[1]})

    def _look(self, places: Sequence[Place], seeds: Sequence[int]) -> None:
        steps = {place: self._steps(place, seeds) for place in places}
        self._make([always for always, _ in steps.values()])
        judges = {place: self._judge(place, *both) for place, both in steps.items() if self._there(both[0])}
        lost = [place for place, judge in judges.items() if self._loses(judge)]
        self._make([steps[place][1] for place in lost])
        whole = {p: j for p, j in judges.items() if p not in lost or self._there(steps[p][1])}
        root, jobs = self.store.root, self.at_once.jobs
        read_ahead(((judge, _ask) for judge in whole.values()), root, jobs=jobs, bundled=True, say=self.say)
        for place, both in steps.items():
            outcome = self._outcome(place, judges[place]) if place in whole else self._not_made(place, both)
            if outcome.shown != NOT_YET or place not in self._found:  # what one seed gave is not lost
                self._found[place] = outcome

    def _make(self, wanted: Sequence[BySeed]) -> None:
        """Place by place, so that what there is time for is whole."""
        plan = PriorityPlan(list(each(steps)) for steps in wanted)
        self._errors |= make(plan, self.store, at_once=self.at_once, say=self.say, deadline=self.deadline)

    def _there(self, steps: BySeed) -> bool:
        return all(self.store.has(step.key) for step in each(steps))

    def _not_made(self, place: Place, both: tuple[BySeed, BySeed]) -> Outcome:
        failed = next((why for key in Plan(each(both[1])).steps if (why := self._errors.get(key))), "")
        return Outcome(place=place, why=f"failed: {failed}" if failed else NOT_YET)

    def _judge(self, place: Place, always: BySeed, every: BySeed) -> Judge:
        return Judge(
            claim=CLAIM,
            case=self._case(place),
            nodeid="",
            method=self.study.method.name if self.study.method else "",
            study=self.study.sized(self._case(place).parameters),
            lab=self._lab,
            steps=always,
            if_lost=every,
            make=lambda steps: "" if self._there(steps) else NOT_YET,
        )

    def _loses(self, judge: Judge) -> bool:
        return Open(test=(CLAIM, judge.case, judge.method), judge=judge, body=_ask).loses()

    def _outcome(self, place: Place, judge: Judge) -> Outcome:
        try:
            _ask(judge)
        except InvalidClaimError as error:
            kind = "diverged" if "diverged" in str(error) else "invalid"
            return Outcome(place=place, why=f"{kind}: {error}")
        except CapbenchError as error:
            return Outcome(place=place, why=f"failed: {error}")
        if judge.verdict is not None and judge.verdict.status is Status.INVALID:
            return Outcome(place=place, why=f"invalid: {judge.verdict.reason}")
        if unsure := [control for control in judge.record().controls if not control.passed]:
            return Outcome(
                place=place, why=f"unsure: {controls.failure(unsure[0], 'a control does not hold for sure')}"
            )
        toolbox, scale = judge.study.toolbox, judge.study.preset.name
        found = assess(judge.measurements, toolbox, scale=scale, seeds=judge.steps)
        if found is None:
            return Outcome(place=place, why="invalid: its behaviour was not measured")
        return Outcome(
            place=place,
            state=found.state,
            per_seed=found.per_seed,
            evidence=found.evidence,
            collateral=found.collateral,
            why=found.reason,
        )


def _ask(judge: Judge) -> None:
    """What is read of a place, with the controls of the suites' verdicts. Which state is claimed makes no difference here."""
    state_is(judge, CapabilityState.DELETED, bits_apart=BITS_APART)
