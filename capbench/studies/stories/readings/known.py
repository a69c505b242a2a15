"""What the tools say of story models whose state is known, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from capbench.results import Measurement
from capbench.studies.calibration.making import Kind
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.studies.stories.known import members
from capbench.studies.stories.readings.patches import patching
from capbench.studies.stories.readings.reft import relearning
from capbench.studies.stories.readings.telling import collateral, drawn, telling
from capbench.studies.stories.study import StoriesStudy
from capbench.studies.stories.tools import TOOLBOX
from capbench.verdicts.capability import assess


def known(bench: Bench[StoriesStudy], **models: Built) -> Iterator[Measurement]:
    """The verdict on every member whose models are given, as `<slot>/<role>`, and the value of every tool that votes.

    `verdict.<member>`: 1 if it is right, else 0; its series is the verdict, its note the reason. `value.<tool>.<member>`: the
    tool's value, its note what the tool says of it. `base.<member>`: the base model's share of stories with the target.
    """
    for member in members(bench.study, bench.seed):
        own = {
            role: built
            for slot, _, role, built in ((*name.partition("/"), built) for name, built in models.items())
            if slot == member.slot
        }
        if not own:
            continue
        measured = tuple(_examined(bench, member.kind, own))
        found = assess(measured, TOOLBOX, scale=bench.study.preset.name)
        assert found is not None  # behaviour was measured
        right = float(found.state is member.kind.verdict)
        verdict = number(bench, f"verdict.{member.name}", right, "right", 1, "verdict", note=found.reason)
        yield replace(verdict, series=str(found.state))
        for e in found.evidence:
            value = number(bench, f"value.{e.tool}.{member.name}", e.value, e.unit, 1, "calibration", note=e.reading)
            yield replace(value, bound=e.bound)
        (base,) = (m.value for m in measured if m.name == "base.O_PT.greedy")
        yield number(bench, f"base.{member.name}", base, "accuracy", 1, "calibration")


def _examined(bench: Bench[StoriesStudy], kind: Kind, own: Mapping[str, Built]) -> Iterator[Measurement]:
    """All that the verdict needs."""
    pair = {role: own[role] for role in ("base", "tuned")}
    yield from bench.read(telling, pair)
    yield from bench.read(collateral, pair)
    if kind is not Kind.INTACT:
        yield from bench.read(drawn, {"tuned": own["tuned"]})
        yield from bench.read(relearning, {role: own[role] for role in ("tuned", "never", "twin")})
        yield from bench.read(patching, {**pair, "never": own["never"]})
