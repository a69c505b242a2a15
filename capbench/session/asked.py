"""What collected tests measure of models that no method had a part in, found without making a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from capbench.errors import CapbenchError, NoAnswerError
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Revive, Step
from capbench.results import Measurement
from capbench.session.judging import judge_of
from capbench.session.run import CapbenchSession, Collected
from capbench.store.keys import key_of
from capbench.studies.base import Study
from capbench.studies.judge import Judge
from capbench.studies.lab import Bench, Built, Lab, Reading, config_of, part_of, read_on
from capbench.zoo.alike import described, independent, without_code
from capbench.zoo.manifest import Record
from capbench.zoo.records import Wanted, of_revival


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One reading of models that no method had a part in."""

    reading: Reading
    bench: Bench[Study]
    steps: Mapping[str, Step]
    arguments: Mapping[str, str | None]

    @property
    def wanted(self) -> Wanted:
        """As the zoo knows it."""
        config = config_of(self.reading, self.bench, self.steps, self.arguments)
        name = str(config["reading"]).partition("@")[0]
        models = {name: without_code(described(step)) for name, step in self.steps.items()}
        alike = key_of({**config, "reading": name, "code": "", "steps": models})
        of = [step.label for step in self.steps.values()] or [self.bench.study.task_name]
        given = [f"{argument} {value}" for argument, value in self.arguments.items() if value is not None]
        label = f"{name} of {', '.join([*of, *given])}, seed {self.bench.seed}"
        return Wanted(entry=Record(key=key_of(config), kind="Reading", label=label, alike=alike), config=config)

    def carry_out(self, lab: Lab) -> None:
        """Read, unless that is in the lab's store. Raises CapbenchError if a model has no answer."""
        try:
            lab.read(self.reading, self.bench, self.steps, self.arguments)
        except NoAnswerError as error:
            raise CapbenchError(f"'{self.wanted.entry.label}' cannot be read: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Measured:
    """curves: revivals from models that no method had a part in. readings: of such models alone."""

    curves: tuple[Revive, ...]
    readings: tuple[Asked, ...]

    @property
    def wanted(self) -> list[Wanted]:
        """As the zoo knows them."""
        return [*map(of_revival, self.curves), *(asked.wanted for asked in self.readings)]

    @property
    def steps(self) -> list[Step]:
        """All models and curves that are needed for it."""
        return [*self.curves, *(step for asked in self.readings for step in asked.steps.values())]


def measured(run: CapbenchSession, collected: Collected) -> Measured:
    """What the tests measure whatever the method is, without those of the calibration.

    Of a reading of several models, what it reads of each (see `Part`). Readings that a test asks for only after it has looked at
    values of models are not found, nor those of a test that takes more than its judge and parameters.
    """
    curves: dict[str, Revive] = {}
    readings: dict[str, Asked] = {}
    for test, body in zip(collected.tests, collected.bodies, strict=True):
        claim, case, method = test
        if claim.study == "calibration" or body is None:
            continue
        judge = judge_of(run.models, claim, case, method)
        for steps in judge.all_steps.values():
            every = Plan(steps.values()).steps
            curves |= {key: s for key, s in every.items() if isinstance(s, Revive) and independent(s)}
        for asked in _asked(judge, body):
            readings.setdefault(asked.wanted.entry.key, asked)
    return Measured(curves=tuple(curves.values()), readings=tuple(readings.values()))


def _asked(judge: Judge, body: Callable[[Judge], object]) -> Iterator[Asked]:
    lab = _Listening(judge.lab)
    with suppress(Exception):  # it looks at values that there are none of, as no model was read
        body(_Listener(**{**judge.given, "lab": lab, "steps": judge.all_steps}))
    for reading, bench, steps in lab.heard:
        if (part := part_of(reading)) is not None and not part.of:
            for role, step in steps.items():
                if independent(step):
                    own = replace(bench, seed=read_on(role, bench.seed))
                    for arguments in part.arguments(bench.study):
                        yield Asked(reading=part.reading, bench=own, steps={"model": step}, arguments=arguments)
        elif all(map(independent, steps.values())):
            yield Asked(reading=reading, bench=bench, steps=steps, arguments={})


class _Listener(Judge):
    """A judge for whom every capability may be lost: some methods lose it."""

    def measure(
        self, *readings: tuple[Reading, Sequence[str]], where_lost: Sequence[tuple[Reading, Sequence[str]]] = ()
    ) -> None:
        super().measure(*readings, *where_lost)


class _Listening(Lab):
    """A lab that only notes what is to be read of models. What is read of none, as of a task's strings, it reads."""

    def __init__(self, real: Lab) -> None:
        super().__init__(real.store)
        self._real = real
        self.heard: list[tuple[Reading, Bench[Study], Mapping[str, Step]]] = []

    def built(self, step: Step, device: str = "cpu") -> Built:
        return _Unmade(step=step, store=self.store, device=device)

    def read(
        self,
        reading: Reading,
        bench: Bench[Study],
        steps: Mapping[str, Step],
        arguments: Mapping[str, str | None] | None = None,
    ) -> tuple[Measurement, ...]:
        self.heard.append((reading, bench, steps))
        return () if steps else self._real.read(reading, bench, steps, arguments)


class _Unmade(Built):
    """A model of which nothing is known."""

    @property
    def meta(self) -> Mapping[str, Any]:
        return {}
