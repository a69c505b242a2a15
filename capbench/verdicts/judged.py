"""Toolboxes whose thresholds known members of the run set, and whose states a function of their own gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from capbench.results import CapabilityState
from capbench.verdicts.by_seed import state_on
from capbench.verdicts.reasons import SeedState
from capbench.verdicts.tools import Tool, Toolbox
from capbench.verdicts.values import Values


def no_rule(values: Values, seed: int) -> tuple[CapabilityState, str]:
    """Decides nothing."""
    return CapabilityState.UNDECIDED, "there is no rule"


def as_it_is(tools: tuple[Tool, ...], values: Values) -> tuple[Tool, ...]:
    """Sets nothing."""
    return tools


@dataclass(frozen=True, kw_only=True)
class Judging(Toolbox):
    """judged: gives the state of a seed, and why, in place of the rule and of all that is asked before it.

    fitted: gives the tools the thresholds that all measurements of the run set.
    """

    judged: Callable[[Values, int], tuple[CapabilityState, str]] = no_rule
    fitted: Callable[[tuple[Tool, ...], Values], tuple[Tool, ...]] = as_it_is


def of_the_run(toolbox: Toolbox, values: Values) -> Toolbox:
    """The toolbox with the thresholds of this run, where it has such."""
    return replace(toolbox, tools=toolbox.fitted(toolbox.tools, values)) if isinstance(toolbox, Judging) else toolbox


def on_seed(values: Values, toolbox: Toolbox, seed: int, others: Mapping[str, float]) -> SeedState:
    """The state on this seed: by the toolbox's own function, if it has one, else by its rule (see `by_seed.state_on`)."""
    if isinstance(toolbox, Judging):
        found, why = toolbox.judged(values, seed)
        return SeedState(state=found, sentence=why)
    return state_on(values, toolbox, seed, others)
