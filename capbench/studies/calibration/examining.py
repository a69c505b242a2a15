"""What the verdict on one model of the pool is made from: the readings and the toolbox of the study that it belongs to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from capbench.results import Measurement
from capbench.studies.calibration.member import Member
from capbench.studies.lab import ANCHOR, Bench, Built, Reading
from capbench.studies.pcfg import readings as pcfg
from capbench.studies.pcfg import tools as pcfg_tools
from capbench.studies.relabelling import relabelling
from capbench.studies.revivals import revival
from capbench.studies.tracr import readings as tracr
from capbench.studies.tracr import tools as tracr_tools
from capbench.verdicts.tools import Tool, Toolbox


def _is_anchor(role: str) -> bool:
    return role.startswith(ANCHOR)


def _is_curve(role: str) -> bool:
    return "_" in role and not _is_anchor(role)


# What a reading is given that takes any number of models, by what it calls them.
_GROUPS: Mapping[str, Callable[[str], bool]] = {
    "models": lambda role: role in ("base", "tuned", "never"),
    "anchors": _is_anchor,
    "curves": _is_curve,
}
_TRAINED: tuple[Reading, ...] = (
    pcfg.behaviour,
    revival,
    pcfg.retention,
    pcfg.pruning_search,
    pcfg.patching,
    relabelling,
)
_COMPILED: tuple[Reading, ...] = (
    tracr.behaviour,
    revival,
    tracr.circuit,
    tracr.weight_pruning,
    tracr.patching,
    relabelling,
)


def toolbox(member: Member) -> Toolbox:
    """The tools and the rule of the member's own study."""
    return tracr_tools.TOOLBOX if member.compiled else pcfg_tools.TOOLBOX


# By group of models: the tools in force, and as they are before a calibration, which gives them their votes anew.
TOOLS: Mapping[str, tuple[Tool, ...]] = {
    "trained": pcfg_tools.TOOLBOX.tools,
    "compiled": tracr_tools.TOOLBOX.tools,
}
PROVISIONAL: Mapping[str, tuple[Tool, ...]] = {
    "trained": pcfg_tools.PROVISIONAL.tools,
    "compiled": tracr_tools.PROVISIONAL.tools,
}


def examined(bench: Bench[Any], member: Member, models: Mapping[str, Built]) -> Iterator[Measurement]:
    """Everything that the verdict needs, whatever the behaviour: a model that is intact is looked at by all tools, too.

    models: the member's, by role. What else broke is measured against the model from which the member was made.
    """
    for reading in _COMPILED if member.compiled else _TRAINED:
        yield from bench.read(reading, given_to(reading, models))
    if (collateral := toolbox(member).collateral) is not None:
        yield from bench.read(collateral, {"base": models["before"], "tuned": models["tuned"]})


def given_to(reading: Reading, models: Mapping[str, Built]) -> dict[str, Built]:
    """The models that a reading asks for by the names of its parameters: single ones, and `curves`, `anchors` or any `models`."""
    asked = [p for p in inspect.signature(reading).parameters.values() if p.name != "bench"]
    found = {p.name: models[p.name] for p in asked if p.name in models}
    for group in (p.name for p in asked if p.kind is p.VAR_KEYWORD):
        belongs = _is_curve if reading is revival else _GROUPS[group]
        found |= {role: built for role, built in models.items() if belongs(role)}
    return found
