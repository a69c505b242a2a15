"""The calibration study, made for a scale; it has methods of its own."""

from __future__ import annotations

from dataclasses import replace

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.studies.calibration.kept import kept
from capbench.studies.calibration.preset import PRESETS
from capbench.studies.calibration.study import CalibrationStudy
from capbench.studies.scales import at_scale


def pool(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> CalibrationStudy:
    """The test half. Its trained models are trained in this precision; compiled ones stay in float32."""
    return replace(setting_half(scale=scale, device=device, precision=precision), first=kept().test)


def setting_half(*, scale: str, device: str, precision: Precision) -> CalibrationStudy:
    """The pool, with its seeds as they are."""
    preset = at_scale(PRESETS, scale)
    return CalibrationStudy(preset=replace(preset, pcfg=replace(preset.pcfg, precision=precision)), device=device)
