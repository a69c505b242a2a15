"""Setting the tools' thresholds: known models on seeds that no result is reported on, and the rule that gives thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from capbench.errors import CapbenchError
from capbench.pipeline.plan import Plan
from capbench.results import Measurement
from capbench.store.store import Store
from capbench.studies.calibration.readings import TOOLS, calibration, in_scope, pool
from capbench.studies.calibration.study import DELETED, WRAPPED, CalibrationStudy
from capbench.studies.lab import Bench, Lab
from capbench.verdicts.tools import Tool


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one tool read off the models that set its thresholds, and the thresholds that follow."""

    tool: Tool
    wrapped: tuple[float, ...]
    deleted: tuple[float, ...]

    @property
    def thresholds(self) -> tuple[float, float]:
        """(absent up to, present from): see `thirds`."""
        return thirds(self.wrapped, self.deleted)


def thirds(wrapped: Sequence[float], deleted: Sequence[float]) -> tuple[float, float]:
    """(absent up to, present from): a third into the gap between the deleted and the wrapped models, from either side.

    The gap goes from the 95 % quantile of the deleted to the 5 % quantile of the wrapped. Where there is none, both are the
    value that calls most of both right (the largest Youden index).
    """
    import numpy as np

    low, high = float(np.quantile(deleted, 0.95)), float(np.quantile(wrapped, 0.05))
    if low < high:
        return low + (high - low) / 3, high - (high - low) / 3
    cut = max(
        sorted({*wrapped, *deleted}),
        key=lambda t: float(np.mean([v >= t for v in wrapped]) + np.mean([v < t for v in deleted])),
    )
    return cut, cut


def setting(
    study: CalibrationStudy, *, seeds: Sequence[int], store: Store, make: Callable[[Plan], Mapping[str, str]]
) -> tuple[list[Setting], dict[int, tuple[Measurement, ...]]]:
    """Read every tool on the pools of these seeds; what is only known by a bound counts as that.

    make: makes what is missing of a plan, and gives step key -> why for what could not be made. Raises CapbenchError then.
    """
    steps = {seed: pool(study, seed) for seed in seeds}
    plan = Plan([s for by_name in steps.values() for s in by_name.values()])
    if errors := make(plan):
        raise CapbenchError(next(iter(errors.values())))
    lab = Lab(store)
    read = {seed: lab.read(calibration, Bench(study=study, seed=seed), steps[seed]) for seed in seeds}
    known = {m.name: m for seed in seeds for m in study.members(seed)}
    found = []
    for tool in (tool for tool in TOOLS if tool.votes):
        values: dict[object, list[float]] = {WRAPPED: [], DELETED: []}
        for m in (m for of_seed in read.values() for m in of_seed if m.name.startswith(f"value.{tool.name}.")):
            member = known[m.name.removeprefix(f"value.{tool.name}.")]
            if m.value is not None and member.state in values and in_scope(tool, member):
                values[member.state].append(m.value)
        found.append(Setting(tool=tool, wrapped=tuple(values[WRAPPED]), deleted=tuple(values[DELETED])))
    return found, read
