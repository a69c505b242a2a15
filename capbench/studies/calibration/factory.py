"""The calibration study, made for a scale; it has methods of its own."""

from __future__ import annotations

from dataclasses import replace

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.studies.calibration.preset import PRESETS
from capbench.studies.calibration.study import CalibrationStudy
from capbench.studies.scales import at_scale


def pool(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> CalibrationStudy:
    """Its trained models are trained in this precision; compiled ones stay in float32."""
    preset = at_scale(PRESETS, scale)
    sizes = tuple(replace(size, precision=precision) for size in preset.pcfg)
    return CalibrationStudy(preset=replace(preset, pcfg=sizes), device=device)
