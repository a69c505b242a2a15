"""What fine-tuning did to a capability, from all tools together: intact, wrapped, deleted, destroyed or undecided.

The tools, their thresholds and the rule are those of a study, see `Toolbox`. Seed by seed: `by_seed`; over seeds: `counting`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from capbench.results import (
    Capability,
    CapabilityState,
    Collateral,
    Evidence,
    FinetunedState,
    Measurement,
    Record,
    Relabelling,
)
from capbench.verdicts import relabelling
from capbench.verdicts.by_seed import ASKED, behaviour_on, finetuned_on
from capbench.verdicts.collateral import collateral, shares
from capbench.verdicts.counting import agreed
from capbench.verdicts.evidence import evidence
from capbench.verdicts.judged import of_the_run, on_seed
from capbench.verdicts.of_the_run import told
from capbench.verdicts.reasons import reason
from capbench.verdicts.tools import BEHAVIOUR, UNMEASURED, Toolbox
from capbench.verdicts.values import by_name, value_of

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

    The fields are those of `Capability`.
    """

    state: CapabilityState
    finetuned: FinetunedState | None
    evidence: tuple[Evidence, ...]
    reason: str
    uncalibrated: tuple[str, ...]
    per_seed: Mapping[int, CapabilityState]
    collateral: Collateral | None
    relabelling: Relabelling | None

    @property
    def provisional(self) -> bool:
        """Whether it rests on a single seed."""
        return len(self.per_seed) == 1


def assess(
    measurements: Iterable[Measurement],
    toolbox: Toolbox,
    *,
    scale: str,
    seeds: Iterable[int] = (),
    partly: Collection[int] = (),
) -> Assessment | None:
    """The verdict from everything that was measured on a model; None unless its behaviour was, on some seed.

    Each seed has a state of its own, from all that was measured on it; the states are then counted (see `counting.agreed`).
    What has no value, or only a bound that says nothing, is missing: no state rests on it.

    seeds: on which the model was asked for, so that one without any measurement is undecided. partly: those of them on which
    only some of the tools were. They do not count: a model that keeps its behaviour needs no tool, so that only such ones would.
    """
    values = by_name(measurements)
    toolbox = of_the_run(toolbox, values)
    others = shares(values)
    wanted = sorted({*seeds, *(seed for found in values.values() for seed in found)})
    by_seed = {seed: on_seed(values, toolbox, seed, others.get(seed, {})) for seed in wanted}
    found = {seed: f for seed, f in by_seed.items() if seed not in partly} or by_seed
    asked = list(found)
    behaviour = {seed: behaviour_on(values, toolbox, seed) for seed in asked}
    if all(value is None for value in behaviour.values()):
        return None
    read = [tool for tool in toolbox.tools if tool.measured in values]
    of_behaviour = {seed: _accuracy(value, seed) for seed, value in behaviour.items()}
    spreads = {t: {seed: s for seed in asked if (s := value_of(values, t.spread, seed)) is not None} for t in read}
    of_tools = [told(t, evidence(t, values[t.measured], asked, spreads[t])) for t in read]
    all_read = (evidence(ASKED, of_behaviour, asked), *of_tools)
    heard = {BEHAVIOUR, *(tool.name for tool in read if tool.speaks)}
    says = {e.tool: e.reading for e in all_read if e.tool in heard and e.reading != UNMEASURED}
    voting = (t for t in read if t.votes and _has_value(values[t.measured]))
    uncalibrated = tuple(t.name for t in voting if not t.auc.get(scale, 0.0) >= SEPARATES)
    untouched = all(seed in values.get(f"tuned.{_CHANGED}", {}) for seed in asked)
    state = agreed([_decided(f.state) for f in found.values()]) or CapabilityState.UNDECIDED
    relabelled = relabelling.relabelling(values, asked)
    why = "; ".join(filter(None, (reason(found, says), relabelling.in_words(relabelled, state))))
    return Assessment(
        state=state,
        finetuned=agreed([finetuned_on(values, seed) for seed in asked]),
        evidence=all_read,
        reason=(f"no weight changed: {why}" if untouched else why)
        + (f"; uncalibrated at scale {scale}: {', '.join(uncalibrated)}" if uncalibrated else ""),
        uncalibrated=uncalibrated,
        per_seed={seed: f.state for seed, f in found.items()},
        collateral=collateral({seed: others[seed] for seed in asked if seed in others}, asked),
        relabelling=relabelled,
    )


def _capability(records: Sequence[Record], toolbox: Toolbox, scale: str) -> Capability | None:
    first = records[0]
    found = assess(
        (m for record in records for m in record.measurements),
        toolbox,
        scale=scale,
        seeds={seed for record in records for seed in record.seeds},
        partly=_partly_asked(records, toolbox),
    )
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
        per_seed=found.per_seed,
        collateral=found.collateral,
        relabelling=found.relabelling,
        provisional=found.provisional,
    )


def _partly_asked(records: Sequence[Record], toolbox: Toolbox) -> set[int]:
    """The seeds on which fewer tools were asked than on others, as claims may have different seeds."""
    tools = {tool.measured for tool in toolbox.tools if tool.speaks}
    asked: dict[int, set[str]] = {}
    for record in records:
        for seed in record.seeds:
            asked.setdefault(seed, set()).update(tools & {m.name for m in record.measurements})
    return {seed for seed, found in asked.items() if found != set().union(*asked.values())}


def _decided(state: CapabilityState) -> CapabilityState | None:
    return None if state is CapabilityState.UNDECIDED else state


def _accuracy(value: float | None, seed: int) -> Measurement:
    return Measurement(name=BEHAVIOUR, value=value, unit=ASKED.unit, n=0, seed=seed)


def _has_value(measured: Mapping[int, Measurement]) -> bool:
    return any(m.value is not None for m in measured.values())
