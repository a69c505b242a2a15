"""The tools that judge an implant, each with the threshold that known members of this model set in the same run. No torch."""

from __future__ import annotations

from typing import Literal, cast

from capbench.results import CapabilityState, Measurement
from capbench.studies.language.implant_readings import collateral
from capbench.studies.language.implant_values import TOOLS
from capbench.verdicts import twins
from capbench.verdicts.judged import Judging
from capbench.verdicts.tools import Tool
from capbench.verdicts.values import Values, value_of

CAVEAT = "implants are easier to delete than what pretraining taught, which the method may only hide"

# What is read is already relative to the threshold. Nothing here was calibrated elsewhere, and none has a vote by itself.
_READ = tuple(
    Tool(
        name=tool,
        measured=f"verdict.{tool}",
        unit="above the threshold",
        present=0.0,
        absent=0.0,
        votes=False,
        vetoes=True,
    )
    for tool in TOOLS
)


def state(values: Values, seed: int) -> tuple[CapabilityState, str]:
    """By verdicts/twins.py, from the measurements of one seed; see readings `behaviour` and `found`."""
    kept, rise = value_of(values, "tuned.S.kept", seed), value_of(values, "tuned.text.rise", seed)
    twin_kept, twin_rise = value_of(values, "twin.S.kept", seed), value_of(values, "twin.text.rise", seed)
    if kept is None or rise is None:
        return CapabilityState.UNDECIDED, "the capability, or the loss on text, has no value"
    if twin_rise is None and kept < twins.KEPT:
        return CapabilityState.UNDECIDED, "nothing was read of its twin"
    found = twins.judge(
        twins.Case(
            kept=kept,
            twin_kept=twin_kept if twin_rise is not None else 0.0,
            rise=rise,
            twin_rise=0.0 if twin_rise is None else twin_rise,  # of a model that kept the skill no twin is made
            values=_votes(values, seed),
        ),
        [_tool(values, tool, seed) for tool in TOOLS],
    )
    for tool in TOOLS:
        if found.why.startswith(f"{tool} does not separate") and value_of(values, f"known.{tool}.cut", seed) is None:
            return CapabilityState.UNDECIDED, f"{tool} has no threshold: too few known members could be used"
    given = CapabilityState(found.state)
    return given, f"{found.why}; {CAVEAT}" if given is CapabilityState.DELETED else found.why


def _votes(values: Values, seed: int) -> dict[str, twins.Value]:
    found: dict[str, twins.Value] = {}
    for tool in TOOLS:
        m = values.get(f"verdict.{tool}", {}).get(seed)
        if m is not None and m.value is not None:
            found[tool] = twins.Value(number=m.value, bound=_bound(m))
    return found


def _tool(values: Values, tool: str, seed: int) -> twins.Tool:
    """Its threshold is 0, as what is read is relative to it."""
    cut = value_of(values, f"known.{tool}.cut", seed)
    return twins.Tool(name=tool, cut=None if cut is None else 0.0, area=value_of(values, f"known.{tool}.area", seed))


def _bound(m: Measurement) -> Literal["", ">=", "<="]:
    return cast(Literal["", ">=", "<="], m.bound)


TOOLBOX = Judging(tools=_READ, behaviour=("tuned.S.kept",), case=("data", "lr"), collateral=collateral, judged=state)
