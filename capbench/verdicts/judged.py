"""Toolboxes whose states are not read off fixed thresholds alone, but by a function of all that was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from capbench.results import CapabilityState
from capbench.verdicts.by_seed import state_on
from capbench.verdicts.reasons import SeedState
from capbench.verdicts.tools import Toolbox
from capbench.verdicts.values import Values


def no_rule(values: Values, seed: int) -> tuple[CapabilityState, str]:
    """Decides nothing."""
    return CapabilityState.UNDECIDED, "there is no rule"


@dataclass(frozen=True, kw_only=True)
class Judging(Toolbox):
    """judged: gives the state of a seed, and why, in place of the rule and of all that is asked before it."""

    judged: Callable[[Values, int], tuple[CapabilityState, str]] = no_rule


def on_seed(values: Values, toolbox: Toolbox, seed: int, others: Mapping[str, float]) -> SeedState:
    """The state on this seed: by the toolbox's own function, if it has one, else by its rule (see `by_seed.state_on`)."""
    if isinstance(toolbox, Judging):
        found, why = toolbox.judged(values, seed)
        return SeedState(state=found, sentence=why)
    return state_on(values, toolbox, seed, others)
