"""The state of a capability, and of the fine-tuned task, on one seed."""

from __future__ import annotations

from collections.abc import Mapping

from capbench.results import CapabilityState, FinetunedState
from capbench.verdicts.collateral import everything_lost, in_words
from capbench.verdicts.evidence import unsaid
from capbench.verdicts.reasons import SeedState
from capbench.verdicts.relabelling import suffices_on
from capbench.verdicts.tools import BEHAVIOUR, GONE, KEPT, PRESENT, UNCLEAR, UNMEASURED, Tool, Toolbox
from capbench.verdicts.values import Values, value_of

ASKED = Tool(name=BEHAVIOUR, measured="", unit="accuracy", present=KEPT, absent=GONE)

_WHY = {
    CapabilityState.WRAPPED: "behaviour gone, but the capability is still there",
    CapabilityState.DELETED: "behaviour gone, and no tool finds the capability",
}
_RENAMED = "behaviour gone, but the answers still give it away"


def behaviour_on(values: Values, toolbox: Toolbox, seed: int, model: str = "tuned") -> float | None:
    """The lowest accuracy on the capability on this seed; None unless all of it was measured.

    model: the one that is judged, where it is not the toolbox's `tuned`.
    """
    names = [model + name.removeprefix("tuned") if name.startswith("tuned.") else name for name in toolbox.behaviour]
    found = [value_of(values, name, seed) for name in names]
    measured = [value for value in found if value is not None]
    return min(measured) if measured and len(measured) == len(found) else None


def state_on(values: Values, toolbox: Toolbox, seed: int, others: Mapping[str, float]) -> SeedState:
    """The state on this seed. others: what is left of all else that the base model knew (see `collateral.shares`).

    A model that lost everything is destroyed, unless the capability is found in it: then it is hidden, with all the rest.
    """
    asked = {t: m for t in toolbox.tools if t.speaks and (m := values.get(t.measured, {}).get(seed)) is not None}
    behaviour = ASKED.reads(behaviour_on(values, toolbox, seed))
    noise = {tool: value_of(values, tool.spread, seed) for tool in asked}
    read = {BEHAVIOUR: behaviour}
    read |= {tool.name: tool.reads(m.value, m.bound, spread=noise[tool]) for tool, m in asked.items()}
    says = {tool: reading for tool, reading in read.items() if reading != UNMEASURED}
    if behaviour == UNMEASURED:
        return SeedState(state=CapabilityState.UNDECIDED, sentence="behaviour was not measured")
    if behaviour == PRESENT:
        return SeedState(state=CapabilityState.INTACT, sentence="behaviour kept")
    if behaviour == UNCLEAR:
        return SeedState(state=CapabilityState.UNDECIDED, sentence="behaviour neither kept nor gone", says=says)
    if suffices_on(values, seed):  # that is no tool's opinion: it answers, under other names
        return SeedState(state=CapabilityState.WRAPPED, sentence=_RENAMED, says=says, form=": {}")
    state = toolbox.rule(says)
    if everything_lost(others) and state is not CapabilityState.WRAPPED:
        sentence = "behaviour gone, and everything else that the base model knew"
        return SeedState(state=CapabilityState.DESTROYED, sentence=sentence, detail=in_words(others))
    if isinstance(state, CapabilityState):
        return SeedState(state=state, sentence=_WHY.get(state, str(state)), says=says, form=": {}")
    return SeedState(
        state=CapabilityState.UNDECIDED,
        sentence=state or "the tools disagree",
        says=says,
        form=" ({})" if state else ": {}",
        detail="; ".join(filter(None, (unsaid(tool, m, noise[tool]) for tool, m in asked.items()))),
    )


def finetuned_on(values: Values, seed: int) -> FinetunedState | None:
    """What became of the fine-tuned task on this seed; None between the classes, or where it was not measured."""
    found = {
        (model, c_te): value_of(values, f"{model}.O_FT.c_te{c_te}", seed)
        for model in ("base", "tuned")
        for c_te in (0, 1)
    }
    accuracy = {key: value for key, value in found.items() if value is not None}
    if len(accuracy) < len(found):
        return None
    without, with_correlation = accuracy["tuned", 0], accuracy["tuned", 1]
    base_had_it = min(accuracy["base", 0], accuracy["base", 1]) >= KEPT
    if min(without, with_correlation) >= KEPT:
        return FinetunedState.AMPLIFIED if base_had_it else FinetunedState.LEARNED
    if with_correlation >= KEPT and without <= GONE:
        return FinetunedState.SHORTCUT
    if max(without, with_correlation) <= GONE:
        return FinetunedState.NOT_LEARNED
    return None
