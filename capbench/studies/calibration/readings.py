"""What the tools say of models whose state is known, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from capbench.results import Measurement
from capbench.studies.calibration.examining import examined, toolbox
from capbench.studies.calibration.study import CalibrationStudy
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.verdicts.capability import assess


def known(bench: Bench[CalibrationStudy], **models: Built) -> Iterator[Measurement]:
    """The verdict on every member whose models are given, as `<slot>/<role>`, and the value of every tool that was read.

    `verdict.<member>`: 1 if it is right, else 0; its series is the verdict, its note the reason. `value.<tool>.<member>`: the
    tool's value, its note what the tool says of it. `base.<member>`: the base model's O_PT accuracy.
    """
    for member in bench.study.members(bench.seed):
        own = {
            role: built
            for slot, _, role, built in ((*name.partition("/"), built) for name, built in models.items())
            if slot == member.slot
        }
        if own:
            part = Bench(study=member.study, seed=bench.study.first + bench.seed, lab=bench.lab)
            measured = tuple(examined(part, member, own))
            assessment = assess(measured, toolbox(member), scale=member.study.preset.name)
            assert assessment is not None  # behaviour was measured
            right = float(assessment.state is member.kind.verdict)
            found = number(bench, f"verdict.{member.name}", right, "right", 1, "verdict", note=assessment.reason)
            yield replace(found, series=str(assessment.state))
            for e in assessment.evidence:
                value = number(
                    bench, f"value.{e.tool}.{member.name}", e.value, e.unit, 1, "calibration", note=e.reading
                )
                yield replace(value, bound=e.bound)
            lowest = min(m.value for m in measured if m.name.startswith("base.O_PT") and m.value is not None)
            yield number(bench, f"base.{member.name}", lowest, "accuracy", 1, "calibration")
