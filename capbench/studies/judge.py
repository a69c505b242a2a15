"""How a test of a claim is decided: measure, check the controls, compare with the threshold, leave a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from capbench.errors import NoAnswerError
from capbench.pipeline.steps import Step
from capbench.results import CapabilityState, Control, Measurement, Record, Status, Verdict
from capbench.studies import collateral
from capbench.studies.base import Study
from capbench.studies.lab import Bench, Lab, Reading
from capbench.studies.revivals import attack_of
from capbench.verdicts import claims, controls, effects
from capbench.verdicts.capability import assess, objection, unchanged
from capbench.verdicts.effects import Effect
from capbench.verdicts.looks import ONLY, Look
from capbench.verdicts.tools import KEPT


class InvalidClaimError(Exception):
    """Raised inside a test when its claim cannot be put to the test; the message is the reason."""


class Case:
    """The parameters of one test, readable as attributes and, as a string, as the test's id."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        for name, value in parameters.items():
            if name != "architecture":
                setattr(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name == "parameters" or name.startswith("__"):  # copying and pickling ask before __init__ has run
            raise AttributeError(name)
        raise AttributeError(f"this case has no {name!r}; it has {', '.join(self.parameters)}")

    def __str__(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.parameters.items())

    __repr__ = __str__

    @property
    def architecture(self) -> str:
        """The architecture of its models; '' for the study's own."""
        return str(self.parameters.get("architecture", ""))

    @property
    def plain(self) -> Case:
        """Without the architecture, which is the study's: what a claim needs is asked of the study that has it."""
        return Case(**{name: value for name, value in self.parameters.items() if name != "architecture"})


def at_once(work: Callable[[], None]) -> None:
    """Does the work, and times nothing."""
    work()


# (study, seed, case) -> the models that a test needs, by name
Needs = Callable[[Any, int, Case], Mapping[str, Step]]
BySeed = Mapping[int, Mapping[str, Step]]  # models by seed and name


def no_models(study: Any, seed: int, case: Case) -> Mapping[str, Step]:
    """What a claim needs that needs nothing."""
    return {}


def all_there(steps: BySeed) -> str:
    """Makes nothing, where all models were made before."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim as its suite declares it.

    needs_where_lost: the models of the readings that a test has `where_lost` (see `Judge.measure`), made only for a test that
    carries these out. Those that `needs` names, too, may be among them.
    study: which experiment it is about, by the name under which it is registered. uses_method False: about base models only, the
    same for all methods.
    """

    id: str
    source: str
    needs: Needs
    needs_where_lost: Needs = no_models
    study: str = "pcfg-counter"
    statement: str = ""
    uses_method: bool = True

    def models(self, study: Any, seed: int, case: Case) -> Mapping[str, Step]:
        """All models that a test may use, by name. Raises ValueError for a name that stands for two."""
        always, more = self.needs(study, seed, case.plain), self.needs_where_lost(study, seed, case.plain)
        for name in always.keys() & more.keys():
            if always[name] != more[name]:
                raise ValueError(f"{name!r} is one model in needs and another in needs_where_lost")
        return {**always, **more}


@dataclass(kw_only=True)
class Judge:
    """Given to a test: `measure` once, then `control`, `require` and `decide`. `record` is what the report gets.

    steps: the models that it has. if_lost: those that it has once a behaviour is found lost, the others among them; none where
    they are the same. make: called with these before they are used; makes what is missing, and says why if it cannot.
    look: at which error rate the claim is decided. While `goes_on` says so, the test is run again with more seeds.
    """

    claim: Claim
    case: Case
    nodeid: str
    method: str
    study: Study
    lab: Lab
    steps: BySeed
    if_lost: BySeed = field(default_factory=dict)
    make: Callable[[BySeed], str] = all_there
    blocked: str = ""  # why the models could not be made, if so
    timed: Callable[[Callable[[], None]], None] = at_once
    look: Look = ONLY
    verdict: Verdict | None = None
    _measurements: list[Measurement] = field(default_factory=list)
    _controls: list[Control] = field(default_factory=list)
    _asked: list[str] = field(default_factory=list)
    _others: bool = False  # whether collateral damage was measured
    _started: float = field(default_factory=time.perf_counter)

    @property
    def given(self) -> dict[str, Any]:
        """What it was made of, by name: another kind of judge can be made of the same."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.name.startswith("_")}

    def measure(
        self, *readings: tuple[Reading, Sequence[str]], where_lost: Sequence[tuple[Reading, Sequence[str]]] = ()
    ) -> None:
        """Carry out readings on every seed: pairs of a reading and the names of the models that it is given.

        A name that ends in `*` stands for all models whose names begin so, if there are any. Collateral damage is measured
        besides, of every fine-tuned model (see `Toolbox.collateral`).

        where_lost: more of them, for a model that does not keep its behaviour on some seed. They look for a capability, and
        where it shows there is nothing to look for. Whether they were carried out is in `lost`. Only they may name models that
        the claim has in `needs_where_lost` alone.
        """
        self._see(self.steps)

        def work() -> None:
            self._read(readings)
            if not self._others:
                self._read_others(self.steps)
            self._others = True
            if where_lost and self.lost:
                self._take_more()
                self._read(where_lost)

        self.timed(work)

    def _see(self, steps: BySeed) -> None:
        """Raises InvalidClaimError unless these models could be made, and their trainings did not diverge."""
        if self.blocked:
            raise InvalidClaimError(self.blocked)
        for seed, by_name in steps.items():
            for name, step in by_name.items():
                meta = self.lab.built(step).meta
                if meta.get("diverged") and not attack_of(name):  # an attack may break what it attacks
                    raise InvalidClaimError(
                        f"method {self.method or 'of the base model'!r}, seed {seed}: training diverged "
                        f"('{name}', step {meta.get('steps', 0)}); lower its rate"
                    )
                if meta.get("changed") is False:
                    self._measurements.append(unchanged(name, seed))

    def _take_more(self) -> None:
        """Have the models that are there for a lost behaviour. Raises InvalidClaimError as `_see` does."""
        before, self.steps = self.steps, self.all_steps
        more = {seed: {n: s for n, s in by.items() if n not in before[seed]} for seed, by in self.steps.items()}
        if not any(more.values()):
            return
        self.blocked = self.make(more)
        try:
            self._see(more)
        except InvalidClaimError:
            self._measurements.clear()  # as if they had been missing from the start: of part of the tools follows no state
            raise
        self._read_others(more)

    def _read_others(self, steps: BySeed) -> None:
        for seed, by_name in steps.items():
            with self._answered(seed, by_name):
                bench = Bench(study=self.study, seed=seed)
                self._measurements += collateral.measured(self.lab, bench, by_name)

    def _read(self, readings: Sequence[tuple[Reading, Sequence[str]]]) -> None:
        for seed, steps in self.steps.items():
            bench = Bench(study=self.study, seed=seed)
            for reading, names in readings:
                with self._answered(seed, names):
                    given = {name: steps[name] for asked in names for name in _named(asked, steps)}
                    self._measurements += self.lab.read(reading, bench, given)

    @contextmanager
    def _answered(self, seed: int, names: Iterable[str]) -> Iterator[None]:
        """A model that answers NaN makes the claim invalid."""
        try:
            yield
        except NoAnswerError as error:
            models = ", ".join(map(repr, names))
            raise InvalidClaimError(
                f"method {self.method or 'of the base model'!r}, seed {seed}: a model answers NaN ({models}): {error}"
            ) from error

    @property
    def models(self) -> Mapping[str, Step]:
        """All models that the test may use, of one seed, by name: those that are there for a lost behaviour, too.

        Every seed has the same names; none if they could not be determined.
        """
        return next(iter(self.all_steps.values()), {})

    @property
    def all_steps(self) -> BySeed:
        """All models that the test may use, whether or not it comes to use them."""
        return {**self.steps, **self.if_lost}

    @property
    def lost(self) -> bool:
        """Whether the fine-tuned model does not keep its behaviour on some seed (see `Toolbox.behaviour`).

        Without a value it is not known to: what looks only at which readings a test asks for hears of all of them.
        """
        found = {(m.name, m.seed): m.value for m in self._measurements if m.is_number}
        values = [found.get((name, seed)) for name in self.study.toolbox.behaviour for seed in self.steps]
        return any(value is None or value < KEPT for value in values)

    def __getitem__(self, name: str) -> Effect:
        """A measured quantity, one value per seed. A quantity that has no value on some seed makes the claim invalid."""
        self._asked.append(name)
        found = {m.seed: m for m in self._measurements if m.name == name and m.is_number}
        if found.keys() != self.steps.keys():
            raise KeyError(f"no reading gave {name!r} for seeds {sorted(self.steps.keys() - found.keys())}")
        missing = [seed for seed, m in found.items() if m.value is None]
        if missing:
            raise InvalidClaimError(
                f"{name} has no value for seeds {missing}: {found[missing[0]].note or 'not measurable'}"
            )
        first = next(iter(found.values()))
        return Effect(
            (m.value for m in found.values() if m.value is not None),
            bounds=[m.bound for m in found.values()],
            kind=first.unit,
            scale=self.study.preset.name,
            n=first.n,
            alpha=self.look.alpha,
            look=self.look.words,
        )

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All that was measured, of every seed: for claims about what differs in name from seed to seed."""
        return tuple(self._measurements)

    def show(self, *pictures: Measurement) -> None:
        """Add pictures of all seeds together to the record."""
        self._measurements += pictures

    def difference(self, name: str, other: str) -> Effect:
        """One measured quantity minus another, paired by seed."""
        return effects.difference(self[name], self[other])

    def control(
        self,
        name: str,
        values: Sequence[float],
        *,
        low: float = float("-inf"),
        high: float = float("inf"),
        otherwise: str = "",
    ) -> None:
        """A control that must lie between low and high, by its interval over seeds (see `controls.control`).

        Wholly outside, the claim is invalid; straddling a limit, inconclusive. otherwise: what is so if it lies outside, where
        that ends the test at once, as nothing else can be asked then.
        """
        found = controls.control(name, values, low=low, high=high, alpha=self.look.alpha)
        self._controls.append(found)
        if otherwise and not (found.passed or found.undecided):
            raise InvalidClaimError(controls.failure(found, otherwise))

    def require(self, holds: bool, reason: str) -> None:
        """What must be so before the claim means anything; otherwise it is invalid, for this reason."""
        if not holds:
            raise InvalidClaimError(reason)

    def decide(self, *conditions: Verdict) -> None:
        """The verdict, unless a control failed, or the calibration of a tool that was asked. All conditions must hold.

        A model that lost everything says nothing about what fine-tuning does to a capability: a claim about one is invalid, or
        inconclusive where it is so on some seeds only.
        """
        found = claims.all_of(*conditions)
        if doubt := objection(self.study.toolbox, self.study.preset.name, self._asked):
            found = claims.invalid(doubt)
        elif lost := collateral.destroyed(self._measurements, self.study.toolbox, self.steps):
            found = claims.of_destroyed(found, lost, len(self.steps))
        self.verdict = controls.hold(self._controls, found)

    def decide_state(self, expected: CapabilityState, *, excluded: bool = False, alone: bool = False) -> None:
        """The verdict on the claim that the fine-tuned model is in this state, unless a control failed.

        excluded: that it is in any other state, instead. alone: or in this one with other abilities damaged, too.

        The state is that of the report's verdict on the capability, from the same measurements by the same rule. How much each
        tool may say after its calibration is part of that rule, so a weak one does not make the claim invalid.
        """
        study, asked = self.study, self.study.toolbox.behaviour
        found = assess(self._measurements, study.toolbox, scale=study.preset.name, seeds=self.steps)
        if found is None:
            verdict = claims.invalid(f"the behaviour was not measured: {', '.join(asked)}")
        else:
            args = found.state, found.per_seed, expected, found.reason
            if not excluded:
                verdict = claims.state_is(*args)
            else:
                verdict = claims.state_is_not(*args, rest=found.collateral if alone else None)
        self.verdict = controls.hold(self._controls, verdict)

    @property
    def goes_on(self) -> bool:
        """Whether the claim is undecided, and there is a look at more seeds left."""
        return self.verdict is not None and self.verdict.status is Status.INCONCLUSIVE and not self.look.last

    def look_again(self, look: Look, steps: BySeed, if_lost: BySeed | None = None, *, blocked: str = "") -> None:
        """Forget what was found, and take the models of further seeds: the test is to be run again, with all seeds.

        What was read of the others is in the lab's store. blocked: why their models could not be made, if so.
        """
        self.look, self.blocked = look, blocked
        self.steps = {**self.steps, **steps}
        self.if_lost = {**self.if_lost, **(if_lost or {})}
        self.verdict = None
        for found in (self._measurements, self._controls, self._asked):
            found.clear()
        self._others = False

    def record(self) -> Record:
        """Everything about this test. A test that ended without a verdict is invalid."""
        study = self.study
        return Record(
            claim=self.claim.id,
            case=str(self.case),
            statement=self.claim.statement,
            source=self.claim.source,
            nodeid=self.nodeid,
            model=study.model_name,
            task=study.task_name,
            method=self.method,
            protocol=study.protocol(self.case.parameters),
            verdict=self.verdict or claims.invalid("the test ended without a verdict"),
            seeds=tuple(self.steps),
            controls=tuple(self._controls),
            measurements=tuple(self._measurements),
            artefacts={f"{name}/{seed}": s.key for seed, steps in self.steps.items() for name, s in steps.items()},
            seconds=round(time.perf_counter() - self._started, 3),
            study=self.claim.study,
        )

    def invalidate(self, reason: str) -> None:
        """Make the verdict invalid."""
        self.verdict = claims.invalid(reason)


def outcome_line(record: Record) -> str:
    """The verdict in one line, for pytest."""
    v = record.verdict
    if v.status is Status.INVALID:
        return f"{record.id}: invalid: {v.reason}"
    # That line says what a refuted claim's shortfall does.
    reason = v.reason.removeprefix(claims.shortfall(v)).removeprefix("; ") if v.status is Status.REFUTED else v.reason
    return f"{record.id}: {claims.words(v)}" + (f"; {reason}" if reason else "")


def _named(asked: str, steps: Mapping[str, Step]) -> list[str]:
    """The models that a name given to `measure` stands for."""
    return [name for name in steps if name.startswith(asked[:-1])] if asked.endswith("*") else [asked]
