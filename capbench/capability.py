"""What fine-tuning did to a capability, from all tools together: intact, wrapped, deleted or undecided.

The thresholds here are a first form, set from the paper's figures and not yet calibrated on models of known state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from capbench.results import Capability, CapabilityState, Evidence, FinetunedState, Record

KEPT, GONE = 0.90, 0.50  # O_PT accuracy, the lower of C_Te 0 and 1: behaviour kept at or above, gone at or below
# Present at or above the first, absent at or below the second, unclear between. The same numbers as the claims'.
REVIVED, NOT_REVIVED = 2.0, 1.25  # steps of Scr.+FT ÷ steps of reFT, each at its best reviver rate
READABLE, UNREADABLE = 0.70, 0.30  # retention, by probe or in the compiled circuit: 0 = never taught, 1 = pretrained
UNCOVERED, NOT_UNCOVERED = 0.30, 0.10  # O_PT accuracy gained by pruning over random pruning

PRESENT, ABSENT, UNCLEAR = "present", "absent", "unclear"


def capabilities(records: Sequence[Record]) -> tuple[Capability, ...]:
    """One verdict per model × task × method × protocol on which behaviour was measured, in order of appearance."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if {"c_tr", "lr"} <= set(record.protocol):
            key = (record.model, record.task, record.method, *(f"{k}={v}" for k, v in sorted(record.protocol.items())))
            groups.setdefault(key, []).append(record)
    found = [_capability(group) for group in groups.values()]
    return tuple(c for c in found if c is not None)


def _capability(records: Sequence[Record]) -> Capability | None:
    values: dict[str, dict[int, float]] = {}
    for measurement in (m for record in records for m in record.measurements):
        if measurement.value is not None and measurement.is_number:
            values.setdefault(measurement.name, {})[measurement.seed] = measurement.value
    means = {name: fmean(by_seed.values()) for name, by_seed in values.items()}
    if not {"tuned.O_PT.c_te0", "tuned.O_PT.c_te1"} <= means.keys():
        return None
    evidence = _evidence(means)
    state, reason = _state({e.tool: e.reading for e in evidence})
    first = records[0]
    return Capability(
        model=first.model,
        task=first.task,
        method=first.method,
        protocol=first.protocol,
        verdict=state,
        finetuned=_finetuned(means),
        evidence=evidence,
        reason=reason,
    )


def _evidence(means: Mapping[str, float]) -> tuple[Evidence, ...]:
    behaviour = min(means["tuned.O_PT.c_te0"], means["tuned.O_PT.c_te1"])
    found = [_reading("behaviour", behaviour, "accuracy", KEPT, GONE)]
    for tool, name, unit, present, absent in (
        ("revival", "revival.ratio", "ratio", REVIVED, NOT_REVIVED),
        ("probing", "probing.retention", "retention", READABLE, UNREADABLE),
        ("circuit", "circuit.retention", "retention", READABLE, UNREADABLE),
        ("pruning", "pruning.gain", "accuracy", UNCOVERED, NOT_UNCOVERED),
        ("weight pruning", "pruning.weights.gain", "accuracy", UNCOVERED, NOT_UNCOVERED),
    ):
        if name in means:
            found.append(_reading(tool, means[name], unit, present, absent))
    return tuple(found)


def _reading(tool: str, value: float, unit: str, present: float, absent: float) -> Evidence:
    reading = PRESENT if value >= present else ABSENT if value <= absent else UNCLEAR
    rule = f"present from {present:g}, absent up to {absent:g}"
    return Evidence(tool=tool, value=value, unit=unit, reading=reading, rule=rule)


def _state(readings: Mapping[str, str]) -> tuple[CapabilityState, str]:
    says: Callable[[str], str | None] = readings.get
    summary = ", ".join(f"{tool} {reading}" for tool, reading in readings.items())
    if says("behaviour") == PRESENT:
        return CapabilityState.INTACT, "behaviour kept"
    if says("behaviour") == UNCLEAR:
        return CapabilityState.UNDECIDED, f"behaviour neither kept nor gone ({summary})"
    # In a compiled model it is known where the capability writes, so its circuit is read instead of probing for it.
    read = says("probing") or says("circuit")
    uncovered = (says("pruning"), says("weight pruning"))
    if says("revival") is None or read is None:
        return CapabilityState.UNDECIDED, f"behaviour gone, but revival or probing was not measured ({summary})"
    if says("revival") == PRESENT and PRESENT in (read, *uncovered):
        return CapabilityState.WRAPPED, f"behaviour gone, yet still there: {summary}"
    if says("revival") == read == ABSENT and PRESENT not in uncovered:
        return CapabilityState.DELETED, f"behaviour gone and no tool finds it: {summary}"
    return CapabilityState.UNDECIDED, f"the tools disagree: {summary}"


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
