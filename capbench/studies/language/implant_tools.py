"""The tools that judge an implant, each with the thresholds that known members of this model set in the same run. No torch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

from capbench.results import CapabilityState, Measurement
from capbench.studies.language.implant_readings import collateral
from capbench.studies.language.implant_values import LOOKED, MUST, UNITS, calibrated, known_values
from capbench.tasks.language.capability import Kind
from capbench.verdicts import twins
from capbench.verdicts.judged import Judging
from capbench.verdicts.of_the_run import OfTheRun
from capbench.verdicts.tools import Tool
from capbench.verdicts.values import Values, value_of

CAVEAT = "implants are easier to delete than what pretraining taught, which the method may only hide"

# None was calibrated elsewhere, and none has a vote by itself.
_READ = tuple(
    OfTheRun(name=tool, measured=f"{tool}.{what}", unit=unit, votes=False, vetoes=True)
    for tool, (what, unit) in UNITS.items()
)


def fitted(tools: tuple[Tool, ...], values: Values) -> tuple[Tool, ...]:
    """The tools with the edges of the known members of all seeds."""
    known = {tool.name: tool for tool in _calibrated(values)}
    return tuple(_with_edges(tool, known[tool.name]) if isinstance(tool, OfTheRun) else tool for tool in tools)


def _with_edges(tool: OfTheRun, known: twins.Tool) -> OfTheRun:
    if known.edges is None or known.silent:
        return replace(tool, silent=known.silent)
    # Where members overlap, what both kinds may have is neither: `vote` says nothing of it.
    ends = known.edges.lowest_hidden, known.edges.highest_deleted
    overlap = ends[0] <= ends[1]
    present, absent = (math.nextafter(ends[1], math.inf), math.nextafter(ends[0], -math.inf)) if overlap else ends
    return replace(tool, silent="", present=present, absent=absent)


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
            missing=_missing(values, seed),
        ),
        _calibrated(values),
        must=MUST[_kind(values)],
        looked=LOOKED[_kind(values)],
    )
    given = CapabilityState(found.state)
    return given, f"{found.why}; {CAVEAT}" if given is CapabilityState.DELETED else found.why


def _kind(values: Values) -> Kind:
    """Of what was taught: of facts no revival is read."""
    return "facts" if "recovery.retention" in values and "revival.speed_up" not in values else "skill"


def _votes(values: Values, seed: int) -> dict[str, twins.Value]:
    return {
        tool: twins.Value(number=m.value, bound=cast(twins.Bound, m.bound))
        for tool, m in _found(values, seed).items()
        if m.value is not None
    }


def _missing(values: Values, seed: int) -> dict[str, str]:
    """By tool, why it has no value."""
    return {tool: m.note for tool, m in _found(values, seed).items() if m.value is None}


def _found(values: Values, seed: int) -> dict[str, Measurement]:
    every = {tool: values.get(f"{tool}.{what}", {}).get(seed) for tool, (what, _) in UNITS.items()}
    return {tool: m for tool, m in every.items() if m is not None}


def _calibrated(values: Values) -> list[twins.Tool]:
    """By the known members of all seeds of the run."""
    return calibrated(known_values(m for measured in values.values() for m in measured.values()))


TOOLBOX = Judging(
    tools=_READ, behaviour=("tuned.S.kept",), case=("data", "lr"), collateral=collateral, judged=state, fitted=fitted
)
