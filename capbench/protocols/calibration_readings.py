"""What the tools say of models whose state is known: ROC curves, their area, and how often the verdict is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from capbench.capability import TOOLS, Assessment, assess
from capbench.lab import Bench, Built
from capbench.pipeline.steps import Step
from capbench.protocols import pcfg_readings, tracr_readings
from capbench.protocols.calibration import DELETED, INTACT, WRAPPED, CalibrationStudy, Member
from capbench.protocols.shared_readings import number, revival
from capbench.protocols.tracr import TracrCounter
from capbench.results import CapabilityState, Curve, Grid, Measurement

KNOWN = (INTACT, WRAPPED, DELETED)
VERDICTS = (INTACT, WRAPPED, DELETED, CapabilityState.UNDECIDED)


def calibration(bench: Bench, **models: Built) -> Iterator[Measurement]:
    """Every tool and the verdict on every member of the pool.

    models: `<member>/<role>` as `pool` names them. Gives `value.<tool>.<member>`; `auc.<tool>` between wrapped and deleted, for
    pruning on wrappers that are made of neurons (`auc.pruning.any`: on all); `known.<state>`: how many; `right`: the share of all
    verdicts that are right; `deleted_called_intact`: how many; `base`: the lowest O_PT accuracy of a base model.
    """
    found = {member: _assessed(bench, member, models) for member in bench.study.members(bench.seed)}
    for member, (measured, assessment) in found.items():
        said = str(assessment.state)
        for evidence in assessment.evidence:
            name = f"value.{evidence.tool}.{member.name}"
            yield number(
                bench, name, evidence.value, evidence.unit, 1, "calibration", note=f"{evidence.reading}; verdict {said}"
            )
        lowest = min(measured["base.O_PT.c_te0"], measured["base.O_PT.c_te1"])
        yield number(bench, f"base.{member.name}", lowest, "accuracy", 1, "calibration")
    verdicts = {member: assessment.state for member, (_, assessment) in found.items()}
    values = {member: {e.tool: e.value for e in assessment.evidence} for member, (_, assessment) in found.items()}
    for tool in TOOLS:
        yield from _separation(bench, tool.name, values)
    yield number(
        bench,
        "base",
        min(min(m["base.O_PT.c_te0"], m["base.O_PT.c_te1"]) for m, _ in found.values()),
        "accuracy",
        len(found),
        "calibration",
    )
    for state in KNOWN:
        yield number(bench, f"known.{state}", sum(m.state is state for m in found), "models", len(found), "calibration")
    right = sum(member.state is verdict for member, verdict in verdicts.items())
    yield number(bench, "right", right / len(found), "share", len(found), "calibration")
    missed = sum(member.state is DELETED and verdict is INTACT for member, verdict in verdicts.items())
    yield number(bench, "deleted_called_intact", missed, "models", len(found), "calibration")
    yield _confusion(bench, verdicts)


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


def _assessed(bench: Bench, member: Member, models: Mapping[str, Built]) -> tuple[dict[str, float], Assessment]:
    own = {name.rpartition("/")[2]: built for name, built in models.items() if name.startswith(f"{member.name}/")}
    part = Bench(study=member.study, seed=bench.seed, lab=bench.lab)
    three = {name: own[name] for name in ("base", "tuned", "never")}
    readings = tracr_readings if isinstance(member.study, TracrCounter) else pcfg_readings
    measured = [*part.read(readings.behaviour, three)]
    if member.state is not INTACT:
        curves = {name: built for name, built in own.items() if "_" in name}
        measured += part.read(revival, curves)
        tuned = {"tuned": own["tuned"]}
        if readings is tracr_readings:
            measured += part.read(tracr_readings.circuit, three)
            measured += part.read(tracr_readings.weight_pruning, tuned)
        else:
            measured += part.read(pcfg_readings.retention, three)
            measured += part.read(pcfg_readings.pruning, tuned)
    assessment = assess(measured)
    assert assessment is not None  # behaviour was measured
    return {m.name: m.value for m in measured if m.is_number and m.value is not None}, assessment


def _separation(bench: Bench, tool: str, values: Mapping[Member, Mapping[str, float | None]]) -> Iterator[Measurement]:
    def of(state: CapabilityState, *, neurons_only: bool = False) -> list[float]:
        chosen = (m for m in values if m.state is state and not (neurons_only and m.where != "neurons"))
        return [value for m in chosen if (value := values[m].get(tool)) is not None]

    wrapped, deleted = of(WRAPPED), of(DELETED)
    if not wrapped or not deleted:
        return
    scopes = {tool: wrapped}
    if (
        tool == "pruning"
    ):  # it looks for neurons, so it is asked about what is made of neurons; the rest is reported beside
        scopes = {tool: of(WRAPPED, neurons_only=True), f"{tool}.any": wrapped}
    for name, positive in scopes.items():
        n = len(positive) + len(deleted)
        yield number(bench, f"auc.{name}", auc(positive, deleted), "AUC", n, "calibration")
        x, y = zip(*roc(positive, deleted), strict=True)
        curve = Curve(x=x, y=y, x_label="share of deleted", y_label="share of wrapped called present")
        yield Measurement(
            name="roc", value=None, unit="", n=n, seed=bench.seed, group="calibration", series=name, curve=curve
        )


def _confusion(bench: Bench, verdicts: Mapping[Member, CapabilityState]) -> Measurement:
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
