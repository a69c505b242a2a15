"""What the tools say of models whose state is known: ROC curves, their area, and how often the verdict is right."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from capbench.pipeline.steps import Step
from capbench.results import CapabilityState, Curve, Evidence, Grid, Measurement
from capbench.studies import attacks
from capbench.studies.calibration.study import DELETED, INTACT, WRAPPED, CalibrationStudy, Member
from capbench.studies.lab import Bench, Built
from capbench.studies.pcfg import readings as pcfg_readings
from capbench.studies.pcfg import tools as pcfg_tools
from capbench.studies.pcfg.tools import PRUNING
from capbench.studies.readings import number
from capbench.studies.revivals import revival
from capbench.studies.tracr import readings as tracr_readings
from capbench.studies.tracr import tools as tracr_tools
from capbench.studies.tracr.study import TracrCounter
from capbench.verdicts.capability import Assessment, assess
from capbench.verdicts.tools import Tool

EVERY = (*pcfg_tools.TOOLBOX.tools, *tracr_tools.TOOLBOX.tools)
TOOLS = tuple(tool for tool in EVERY if tool not in attacks.TOOLS)  # behaviour apart
KNOWN = (INTACT, WRAPPED, DELETED)
VERDICTS = (INTACT, WRAPPED, DELETED, CapabilityState.UNDECIDED)


def calibration(bench: Bench[CalibrationStudy], **models: Built) -> Iterator[Measurement]:
    """Every tool and the verdict on every member of the pool, in numbers.

    models: `<member>/<role>` as `pool` names them. Gives `value.<tool>.<member>`; `auc.<tool>` between wrapped and deleted, for
    pruning on wrappers that are made of neurons (`auc.pruning.any`: on all); `known.<state>`: how many; `right`: the share of all
    verdicts that are right; `deleted_called_intact`: how many; `base`: the lowest O_PT accuracy of a base model.
    """
    found = _pool_assessed(bench, models)
    for member, (_, assessment) in found.items():
        for e in assessment.evidence:
            note = f"{e.reading}; verdict {assessment.state}"
            m = number(bench, f"value.{e.tool}.{member.name}", e.value, e.unit, 1, "calibration", note=note)
            yield replace(m, bound=e.bound)
    for name, (wrapped, deleted) in _samples(found).items():
        n, both = len(wrapped) + len(deleted), bool(wrapped and deleted)
        note = "" if both else f"{name} has a value on {len(wrapped)} wrapped and {len(deleted)} deleted models only"
        value = auc(wrapped, deleted) if both else None
        yield number(bench, f"auc.{name}", value, "AUC", n, "calibration", note=note)
    for state in KNOWN:
        yield number(bench, f"known.{state}", sum(m.state is state for m in found), "models", len(found), "calibration")
    verdicts = [(member.state, assessment.state) for member, (_, assessment) in found.items()]
    for name, value, unit in (
        ("base", min(lowest for lowest, _ in found.values()), "accuracy"),
        ("right", sum(known is said for known, said in verdicts) / len(found), "share"),
        ("deleted_called_intact", verdicts.count((DELETED, INTACT)), "models"),
    ):
        yield number(bench, name, value, unit, len(found), "calibration")


def figures(bench: Bench[CalibrationStudy], **models: Built) -> Iterator[Measurement]:
    """The same as pictures: a ROC curve per tool, wrapped against deleted, and the confusion matrix of the verdict."""
    found = _pool_assessed(bench, models)
    for name, (wrapped, deleted) in _samples(found).items():
        if not (wrapped and deleted):
            continue
        x, y = zip(*roc(wrapped, deleted), strict=True)
        curve = Curve(x=x, y=y, x_label="share of deleted called present", y_label="share of wrapped called present")
        n = len(wrapped) + len(deleted)
        yield Measurement(
            name="roc", value=None, unit="", n=n, seed=bench.seed, group="calibration", series=name, curve=curve
        )
    yield _confusion(bench, {member: assessment.state for member, (_, assessment) in found.items()})


def pool(study: CalibrationStudy, seed: int, case: object = None) -> dict[str, Step]:
    """All models of a seed's pool by `<member>/<role>`; it has no cases."""
    return {f"{m.name}/{role}": step for m in study.members(seed) for role, step in m.steps(seed).items()}


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The chance that a positive is above a negative, ties counting half (the area under the ROC curve)."""
    pairs = [(p, n) for p in positive for n in negative]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def roc(positive: Sequence[float], negative: Sequence[float]) -> list[tuple[float, float]]:
    """(share of negatives at or above a threshold, share of positives), from the highest threshold to the lowest."""
    points = [(0.0, 0.0)]
    for threshold in sorted({*positive, *negative}, reverse=True):
        shares = [sum(v >= threshold for v in values) / len(values) for values in (negative, positive)]
        points.append((shares[0], shares[1]))
    return points


def _pool_assessed(
    bench: Bench[CalibrationStudy], models: Mapping[str, Built]
) -> dict[Member, tuple[float, Assessment]]:
    """Every member with its base model's O_PT accuracy and what the tools say of it."""
    return {member: _assessed(bench, member, models) for member in bench.study.members(bench.seed)}


def _assessed(bench: Bench[CalibrationStudy], member: Member, models: Mapping[str, Built]) -> tuple[float, Assessment]:
    own = {name.rpartition("/")[2]: built for name, built in models.items() if name.startswith(f"{member.name}/")}
    part = Bench(study=member.study, seed=bench.seed, lab=bench.lab)
    three = {name: own[name] for name in ("base", "tuned", "never")}
    compiled = isinstance(member.study, TracrCounter)
    measured = [*part.read(tracr_readings.behaviour if compiled else pcfg_readings.behaviour, three)]
    if member.state is not INTACT:
        curves = {name: built for name, built in own.items() if "_" in name}
        measured += part.read(revival, curves)
        tuned = {"tuned": own["tuned"]}
        if compiled:
            measured += part.read(tracr_readings.circuit, three)
            measured += part.read(tracr_readings.weight_pruning, tuned)
        else:
            measured += part.read(pcfg_readings.retention, three)
            measured += part.read(pcfg_readings.pruning, tuned)
    toolbox = tracr_tools.TOOLBOX if compiled else pcfg_tools.TOOLBOX
    assessment = assess(measured, toolbox, scale=member.study.preset.name)
    assert assessment is not None  # behaviour was measured
    return min(m.value for m in measured if m.name.startswith("base.O_PT") and m.value is not None), assessment


def in_scope(tool: Tool, member: Member) -> bool:
    """Whether a tool is asked about a model: pruning looks for neurons, so not about a wrapper that is made of something else."""
    return tool is not PRUNING or member.state is DELETED or member.where == "neurons"


def at_worst(member: Member, found: Evidence) -> float | None:
    """The value by which a member is told from others; None if the tool has none.

    A bound counts as itself where the true value would be told apart even better (a wrapped model's is at least that, a deleted
    one's at most), and else as the worst that it allows.
    """
    if found.value is None or not found.bound or found.bound == (">=" if member.state is WRAPPED else "<="):
        return found.value
    return math.inf if found.bound == ">=" else -math.inf


def _samples(found: Mapping[Member, tuple[float, Assessment]]) -> dict[str, tuple[list[float], list[float]]]:
    """By tool, its values on the wrapped and on the deleted models; `pruning.any`: out of its scope, too."""

    def values(tool: Tool, state: CapabilityState, asked: Callable[[Tool, Member], bool] = in_scope) -> list[float]:
        of_state = [(m, e) for m, (_, a) in found.items() if m.state is state and asked(tool, m) for e in a.evidence]
        return [value for m, e in of_state if e.tool == tool.name and (value := at_worst(m, e)) is not None]

    samples = {t.name: (values(t, WRAPPED), values(t, DELETED)) for t in TOOLS}
    samples["pruning.any"] = values(PRUNING, WRAPPED, lambda *_: True), values(PRUNING, DELETED)
    return samples


def _confusion(bench: Bench[CalibrationStudy], verdicts: Mapping[Member, CapabilityState]) -> Measurement:
    counts = tuple(
        tuple(float(sum(m.state is state and v is verdict for m, v in verdicts.items())) for verdict in VERDICTS)
        for state in KNOWN
    )
    grid = Grid(
        values=counts,
        rows=tuple(map(str, KNOWN)),
        columns=tuple(map(str, VERDICTS)),
        row_label="true state",
        column_label="verdict",
    )
    return Measurement(
        name="confusion",
        value=None,
        unit="models",
        n=len(verdicts),
        seed=bench.seed,
        group="confusion",
        series="all tools",
        grid=grid,
    )
