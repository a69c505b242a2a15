"""What fine-tuning did to a capability, from all tools together: intact, wrapped, deleted or undecided.

The thresholds were set on models of known state, and tested on others of known state: see studies/calibration/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from capbench.results import Capability, CapabilityState, Evidence, FinetunedState, Measurement, Record

PRESENT, ABSENT, UNCLEAR = "present", "absent", "unclear"
KEPT, GONE = 0.90, 0.50  # accuracy: a behaviour is kept at or above, gone at or below


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One way to look for a capability. measured: the measurement that it reads.

    It says present at or above one threshold, absent at or below the other, and unclear between. auc: by scale, how well it
    told known wrapped models from known deleted ones, on the half of the pool that set no threshold.
    votes False: reported with the others, but no part of the verdict.
    """

    name: str
    measured: str
    unit: str
    present: float
    absent: float
    auc: Mapping[str, float] = field(default_factory=dict, hash=False)
    votes: bool = True

    @property
    def prefix(self) -> str:
        """How the names of its measurements begin."""
        return self.measured.rpartition(".")[0] + "."


SEPARATES = 0.95  # AUC from which a tool may decide a claim
BEHAVIOUR = Tool(name="behaviour", measured="tuned.O_PT", unit="accuracy", present=KEPT, absent=GONE)
# Set by `capbench calibrate` on the known models of seeds 100 and 101, rounded; tested on those of seeds 0 to 2, which gave the
# AUCs (reports/reference/calibration).
REVIVAL = Tool(name="revival", measured="revival.speed_up", unit="ratio", present=2.0, absent=1.6, auc={"small": 1.0})
PROBING = Tool(
    name="probing", measured="probing.retention", unit="retention", present=0.66, absent=0.34, auc={"small": 1.0}
)
PRUNING = Tool(name="pruning", measured="pruning.gain", unit="accuracy", present=0.45, absent=0.27, auc={"small": 1.0})
RETAIN_ONLY = Tool(
    name="retain-only revival", measured="revival.retain_only", unit="accuracy", present=KEPT, absent=GONE, votes=False
)
# Where a compiled model's capability writes is known, so its circuit is read instead of probed for. Its revival depends on
# the learning rate and on how stiff the weights are, even for a deleted model: on the setting half its AUC is .93.
COMPILED_REVIVAL = Tool(
    name="compiled revival",
    measured="revival.speed_up",
    unit="ratio",
    present=1.6,
    absent=1.4,
    auc={"small": 0.91},
)
CIRCUIT = Tool(
    name="circuit", measured="circuit.retention", unit="retention", present=0.67, absent=0.33, auc={"small": 1.0}
)
WEIGHTS = Tool(
    name="weight pruning",
    measured="pruning.weights.gain",
    unit="accuracy",
    present=0.38,
    absent=0.30,
    auc={"small": 1.0},
)
OF_TRAINED = (BEHAVIOUR, REVIVAL, PROBING, PRUNING, RETAIN_ONLY)
OF_COMPILED = (BEHAVIOUR, COMPILED_REVIVAL, CIRCUIT, WEIGHTS)
TOOLS = tuple(dict.fromkeys((*OF_TRAINED, *OF_COMPILED)))


def tools(task: str) -> tuple[Tool, ...]:
    """The tools for a task's models, by its name: those of compiled models begin with 'tracr'."""
    return OF_COMPILED if task.startswith("tracr") else OF_TRAINED


def objection(scale: str, task: str, measured: Iterable[str]) -> str:
    """Why a claim on these measurements cannot be decided: its tool failed its calibration at this scale; '' if none did.

    A scale without a calibration raises no objection.
    """
    for name in measured:
        tool = next((t for t in tools(task) if name.startswith(t.prefix)), None)
        if tool is not None and tool.auc.get(scale, 1.0) < SEPARATES:
            return (
                f"{tool.name} failed its calibration at scale {scale}: it tells wrapped from deleted models with an AUC of "
                f"{tool.auc[scale]:.2f}, {SEPARATES} is needed"
            )
    return ""


def capabilities(records: Sequence[Record]) -> tuple[Capability, ...]:
    """One verdict per model × task × method × protocol on which behaviour was measured, in order of appearance."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if {"c_tr", "lr"} <= set(record.protocol):
            key = (record.model, record.task, record.method, *(f"{k}={v}" for k, v in sorted(record.protocol.items())))
            groups.setdefault(key, []).append(record)
    found = [_capability(group) for group in groups.values()]
    return tuple(c for c in found if c is not None)


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What the tools say of one model (or of one case over several seeds), and what follows from it."""

    state: CapabilityState
    finetuned: FinetunedState | None
    evidence: tuple[Evidence, ...]
    reason: str


def assess(measurements: Iterable[Measurement], task: str) -> Assessment | None:
    """The verdict from everything that was measured on a model of a task; None unless its behaviour was.

    Over several seeds each tool is read at its mean, so that a model is never judged by half its seeds.
    """
    values: dict[str, dict[int, float]] = {}
    for measurement in measurements:
        if measurement.value is not None and measurement.is_number:
            values.setdefault(measurement.name, {})[measurement.seed] = measurement.value
    if not {"tuned.O_PT.c_te0", "tuned.O_PT.c_te1"} <= values.keys():
        return None
    evidence = _evidence(values, tools(task))
    voting = {tool.name for tool in tools(task) if tool.votes}
    decide = _state_of_compiled if tools(task) is OF_COMPILED else _state_of_trained
    state, reason = _state({e.tool: e.reading for e in evidence if e.tool in voting}, decide)
    means = {name: fmean(by_seed.values()) for name, by_seed in values.items()}
    return Assessment(state=state, finetuned=_finetuned(means), evidence=evidence, reason=reason)


def _capability(records: Sequence[Record]) -> Capability | None:
    first = records[0]
    found = assess((m for record in records for m in record.measurements), first.task)
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
    )


def _evidence(values: Mapping[str, Mapping[int, float]], asked: Sequence[Tool]) -> tuple[Evidence, ...]:
    lower = min(("tuned.O_PT.c_te0", "tuned.O_PT.c_te1"), key=lambda name: fmean(values[name].values()))
    found = [_reading(BEHAVIOUR, values[lower])]
    found += [_reading(tool, values[tool.measured]) for tool in asked if tool.measured in values]
    return tuple(found)


def _reading(tool: Tool, per_seed: Mapping[int, float]) -> Evidence:
    value = fmean(per_seed.values())
    reading = PRESENT if value >= tool.present else ABSENT if value <= tool.absent else UNCLEAR
    rule = f"present from {tool.present:g}, absent up to {tool.absent:g}"
    return Evidence(
        tool=tool.name, value=value, unit=tool.unit, reading=reading, rule=rule, per_seed=dict(sorted(per_seed.items()))
    )


Readings = Mapping[str, str]  # tool -> reading, of the tools that vote


def _state(says: Readings, decide: Callable[[Readings], CapabilityState | str]) -> tuple[CapabilityState, str]:
    """decide: gives the state of a model whose behaviour is gone, or why there is none."""
    summary = ", ".join(f"{tool} {reading}" for tool, reading in says.items())
    if says["behaviour"] == PRESENT:
        return CapabilityState.INTACT, "behaviour kept"
    if says["behaviour"] == UNCLEAR:
        return CapabilityState.UNDECIDED, f"behaviour neither kept nor gone ({summary})"
    state = decide(says)
    if state is CapabilityState.WRAPPED:
        return state, f"behaviour gone, but the capability is still there: {summary}"
    if state is CapabilityState.DELETED:
        return state, f"behaviour gone, and no tool finds the capability: {summary}"
    return CapabilityState.UNDECIDED, f"{state} ({summary})" if state else f"the tools disagree: {summary}"


def _state_of_trained(says: Readings) -> CapabilityState | str:
    """Revived, and read or uncovered: wrapped. Neither revived nor read, and not uncovered: deleted."""
    if missing := _missing(("revival", "probing"), says):
        return missing
    uncovered = says.get("pruning")
    if says["revival"] == PRESENT and PRESENT in (says["probing"], uncovered):
        return CapabilityState.WRAPPED
    if says["revival"] == says["probing"] == ABSENT and uncovered != PRESENT:
        return CapabilityState.DELETED
    return ""


def _state_of_compiled(says: Readings) -> CapabilityState | str:
    """The circuit as it was, and weights whose removal does not contradict it: wrapped. Neither finds anything: deleted.

    Revival says too little to be relied on, but what comes back soon is not called deleted, nor what was never revived.
    """
    if missing := _missing(("circuit", "weight pruning"), says):
        return missing
    if says["circuit"] == PRESENT and says["weight pruning"] != ABSENT:
        return CapabilityState.WRAPPED
    if says["circuit"] == says["weight pruning"] == ABSENT:
        if missing := _missing(("compiled revival",), says):
            return missing
        if says["compiled revival"] != PRESENT:
            return CapabilityState.DELETED
    return ""


def _missing(needed: Sequence[str], says: Readings) -> str:
    """Which of these tools were not measured, in words; '' if none."""
    missing = [tool for tool in needed if tool not in says]
    verb = "was" if len(missing) == 1 else "were"
    return f"behaviour gone, but {' and '.join(missing)} {verb} not measured" if missing else ""


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
