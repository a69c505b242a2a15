"""The calibration pool: models whose true state is known by construction, on the suites' own tasks and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from capbench.pipeline.steps import Step, describe
from capbench.store.keys import key_of
from capbench.studies.calibration import compiled, trained
from capbench.studies.calibration.member import Member
from capbench.studies.calibration.preset import CalibrationPreset
from capbench.studies.calibration.table import slots, tried
from capbench.verdicts.tools import Toolbox


@dataclass(frozen=True, kw_only=True)
class CalibrationStudy:
    """The pool of one seed: see table.py.

    first: the pool's seed that stands for a run's seed 0. The suite asks for seeds 0, 1 and 2, and gets a half of the pool.
    thresholds: the hash of those in force, as a verdict that was read is of these.

    architecture: its name, where this is not the pool of GPTs and compiled models but the few models of another architecture
    that try the GPT's thresholds. `preset.pcfg` then has it.
    """

    preset: CalibrationPreset
    device: str = "cpu"
    first: int = 0
    thresholds: str = ""
    architecture: str = ""
    toolbox: ClassVar[Toolbox] = Toolbox()  # the pool's models are judged by those of their own studies

    @property
    def model_name(self) -> str:
        return "pool"

    @property
    def task_name(self) -> str:
        return "known states"

    def protocol(self, case: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**case, "first seed": self.first}

    def members(self, seed: int) -> tuple[Member, ...]:
        """Every model of a run's seed."""
        known = key_of({"study": describe(self), "seed": seed})
        if known not in _MEMBERS:
            most = self.preset.most
            given: dict[str, Any] = {"device": self.device, "seed": self.first + seed}
            asked = tried(most=most) if self.architecture else slots(self.first + seed, most=most)
            found = tuple(trained.members(self.preset.pcfg, slots=asked, **given))
            if not self.architecture:
                found += tuple(compiled.members(self.preset.tracr, most=most, **given))
            _MEMBERS[known] = found
        return _MEMBERS[known]


# By study and seed: every claim asks for all of them, and a step whose key was computed has it.
_MEMBERS: dict[str, tuple[Member, ...]] = {}


def needs(study: CalibrationStudy, seed: int, case: object = None) -> dict[str, Step]:
    """All models of a seed, by `<slot>/<role>`; it has no cases."""
    return {name: step for member in study.members(seed) for name, step in member.steps.items()}
