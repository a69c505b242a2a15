"""A judge over models that are never made: readings give what a test says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiny import study

from capbench.pipeline.steps import Step
from capbench.results import Curve, Measurement
from capbench.studies.judge import Case, Claim, Judge
from capbench.studies.lab import Bench, Built, Reading
from capbench.studies.pcfg.study import PcfgCounter
from capbench.verdicts.claims import at_least, at_most

STUDY = study()
CASE = Case(prior="low", c_tr=1, lr="small")


def needs(study: PcfgCounter, seed: int, case: Case) -> Mapping[str, Step]:
    return {"one": study.initialised(seed), "two": study.initialised(seed + 100)}


class FakeLab:
    """Hands the steps' names to the reading, keeps nothing; `metas` by step key."""

    def __init__(self, metas: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.metas = metas or {}

    def built(self, step: Step) -> Any:
        return dataclasses.make_dataclass("Fake", ["meta"])(self.metas.get(step.key, {}))

    def read(self, reading: Reading, bench: Bench, steps: Mapping[str, Step]) -> tuple[Measurement, ...]:
        return tuple(reading(bench, **steps))


def judge(*, seeds: Iterable[int] = (0, 1, 2), lab: Any = None, **changes: Any) -> Judge:
    claim = Claim(id="wrapper.pruning", source="Fig. 7", needs=needs, statement="Pruning restores.")
    steps = {seed: needs(STUDY, seed, CASE) for seed in seeds}
    fields = {"claim": claim, "case": CASE, "nodeid": "suites/test_x.py::test", "method": "full", "study": STUDY}
    return Judge(**{**fields, "lab": lab or FakeLab(), "steps": steps, **changes})


def gives(
    values: Mapping[str, Callable[[int], float | None]], *, note: str = "", curve: Curve | None = None
) -> Reading:
    def reading(bench: Bench, **models: Built) -> Iterable[Measurement]:
        for name, value in values.items():
            v = value(bench.seed)
            yield Measurement(name=name, value=v, unit="", n=1, seed=bench.seed, note=note, curve=curve)

    return reading


GAIN = gives({"gain": lambda seed: 0.5 + seed / 4})
PASSES = at_least([0.7, 0.75, 0.8], 0.25, "gain")
FAILS = at_most([0.7, 0.75, 0.8], 0.25, "cost")
