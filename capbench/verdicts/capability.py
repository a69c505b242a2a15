"""What fine-tuning did to a capability, from all tools together: intact, wrapped, deleted or undecided.

The tools, their thresholds and the rule are those of a study, see `Toolbox`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from capbench.results import Capability, CapabilityState, Evidence, FinetunedState, Measurement, Record
from capbench.verdicts.tools import ABSENT, BEHAVIOUR, PRESENT, UNCLEAR, Readings, Rule, Tool, Toolbox

KEPT, GONE = 0.90, 0.50  # accuracy: a behaviour is kept at or above, gone at or below
_CHANGED = "weights_changed"
SEPARATES = 0.95  # AUC from which a tool may decide a claim


def objection(toolbox: Toolbox, scale: str, measured: Iterable[str]) -> str:
    """Why a claim on these measurements cannot be decided: its tool failed its calibration at this scale; '' if none did.

    A tool without a calibration at the scale raises no objection.
    """
    for name in measured:
        tool = next((t for t in toolbox.tools if name.startswith(t.prefix)), None)
        if tool is not None and tool.auc.get(scale, 1.0) < SEPARATES:
            return (
                f"{tool.name} failed its calibration at scale {scale}: it tells wrapped from deleted models with an AUC of "
                f"{tool.auc[scale]:.2f}, {SEPARATES} is needed"
            )
    return ""


def unchanged(model: str, seed: int) -> Measurement:
    """The measurement that stands for a fine-tuned model with the very weights of its base model; others have none."""
    return Measurement(name=f"{model}.{_CHANGED}", value=0.0, unit="share", n=0, seed=seed)


def capabilities(
    records: Sequence[Record], toolbox_of: Callable[[Record], Toolbox | None], *, scale: str
) -> tuple[Capability, ...]:
    """One verdict per model × task × method × protocol on which behaviour was measured, in order of appearance.

    toolbox_of: that of a record's study; None where the study is not known, which gives no verdict.
    """
    groups: dict[tuple[str, ...], tuple[Toolbox, list[Record]]] = {}
    for record in records:
        toolbox = toolbox_of(record)
        if toolbox is not None and toolbox.judges(record.protocol):
            key = (record.model, record.task, record.method, *(f"{k}={v}" for k, v in sorted(record.protocol.items())))
            groups.setdefault(key, (toolbox, []))[1].append(record)
    found = [_capability(group, toolbox, scale) for toolbox, group in groups.values()]
    return tuple(c for c in found if c is not None)


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What the tools say of one model (or of one case over several seeds), and what follows from it.

    uncalibrated: the tools with a vote that were read, but never calibrated for this study and scale.
    """

    state: CapabilityState
    finetuned: FinetunedState | None
    evidence: tuple[Evidence, ...]
    reason: str
    uncalibrated: tuple[str, ...] = ()


def assess(measurements: Iterable[Measurement], toolbox: Toolbox, *, scale: str) -> Assessment | None:
    """The verdict from everything that was measured on a model; None unless its behaviour was.

    Over several seeds each tool is read at its mean, so that a model is never judged by half its seeds.
    """
    values: dict[str, dict[int, float]] = {}
    for measurement in measurements:
        if measurement.value is not None and measurement.is_number:
            values.setdefault(measurement.name, {})[measurement.seed] = measurement.value
    if not set(toolbox.behaviour) <= values.keys():
        return None
    read = [tool for tool in toolbox.tools if tool.measured in values]
    lowest = min(toolbox.behaviour, key=lambda name: fmean(values[name].values()))
    evidence = (_behaviour(values[lowest]), *(_reading(tool, values[tool.measured]) for tool in read))
    voting = {BEHAVIOUR, *(tool.name for tool in read if tool.votes)}
    state, reason = _state({e.tool: e.reading for e in evidence if e.tool in voting}, toolbox.rule)
    uncalibrated = tuple(tool.name for tool in read if tool.votes and scale not in tool.auc)
    if uncalibrated:
        reason += f"; uncalibrated at scale {scale}: {', '.join(uncalibrated)}"
    tuned = lowest.partition(".")[0]
    if values.get(f"{tuned}.{_CHANGED}", {}).keys() == values[lowest].keys():
        reason = f"no weight changed: {reason}"
    means = {name: fmean(by_seed.values()) for name, by_seed in values.items()}
    return Assessment(
        state=state, finetuned=_finetuned(means), evidence=evidence, reason=reason, uncalibrated=uncalibrated
    )


def _capability(records: Sequence[Record], toolbox: Toolbox, scale: str) -> Capability | None:
    first = records[0]
    found = assess((m for record in records for m in record.measurements), toolbox, scale=scale)
    if found is None:
        return None
    return Capability(
        model=first.model,
        task=first.task,
        method=first.method,
        protocol=first.protocol,
        verdict=found.state,
        finetuned=found.finetuned,
        evidence=found.evidence,
        reason=found.reason,
        study=first.study,
        uncalibrated=found.uncalibrated,
    )


def _behaviour(per_seed: Mapping[int, float]) -> Evidence:
    asked = Tool(name=BEHAVIOUR, measured="", unit="accuracy", present=KEPT, absent=GONE)
    return _reading(asked, per_seed)


def _reading(tool: Tool, per_seed: Mapping[int, float]) -> Evidence:
    value = fmean(per_seed.values())
    reading = PRESENT if value >= tool.present else ABSENT if value <= tool.absent else UNCLEAR
    rule = f"present from {tool.present:g}, absent up to {tool.absent:g}"
    return Evidence(
        tool=tool.name, value=value, unit=tool.unit, reading=reading, rule=rule, per_seed=dict(sorted(per_seed.items()))
    )


def _state(says: Readings, rule: Rule) -> tuple[CapabilityState, str]:
    summary = ", ".join(f"{tool} {reading}" for tool, reading in says.items())
    if says[BEHAVIOUR] == PRESENT:
        return CapabilityState.INTACT, "behaviour kept"
    if says[BEHAVIOUR] == UNCLEAR:
        return CapabilityState.UNDECIDED, f"behaviour neither kept nor gone ({summary})"
    state = rule(says)
    if state is CapabilityState.WRAPPED:
        return state, f"behaviour gone, but the capability is still there: {summary}"
    if state is CapabilityState.DELETED:
        return state, f"behaviour gone, and no tool finds the capability: {summary}"
    return CapabilityState.UNDECIDED, f"{state} ({summary})" if state else f"the tools disagree: {summary}"


def _finetuned(means: Mapping[str, float]) -> FinetunedState | None:
    if not {f"{model}.O_FT.c_te{c_te}" for model in ("base", "tuned") for c_te in (0, 1)} <= means.keys():
        return None
    without, with_correlation = means["tuned.O_FT.c_te0"], means["tuned.O_FT.c_te1"]
    base_had_it = min(means["base.O_FT.c_te0"], means["base.O_FT.c_te1"]) >= KEPT
    if min(without, with_correlation) >= KEPT:
        return FinetunedState.AMPLIFIED if base_had_it else FinetunedState.LEARNED
    if with_correlation >= KEPT and without <= GONE:
        return FinetunedState.SHORTCUT
    if max(without, with_correlation) <= GONE:
        return FinetunedState.NOT_LEARNED
    return None  # between the classes
