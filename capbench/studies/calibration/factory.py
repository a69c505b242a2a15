"""The calibration study, made for a scale; it has methods of its own."""

from __future__ import annotations

from dataclasses import replace

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Pretrain
from capbench.studies.calibration.kept import SETTING, kept
from capbench.studies.calibration.preset import PRESETS
from capbench.studies.calibration.study import CalibrationStudy, needs
from capbench.studies.scales import at_scale

_RUN = range(3)  # the seeds of a run, which stand for those of a half


def pool(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> CalibrationStudy:
    """The test half. Its trained models are trained in this precision; compiled ones stay in float32."""
    return replace(setting_half(scale=scale, device=device, precision=precision), first=kept().test)


def setting_half(*, scale: str, device: str, precision: Precision) -> CalibrationStudy:
    """The pool, with its seeds as they are."""
    preset = at_scale(PRESETS, scale)
    sized = replace(preset, pcfg=replace(preset.pcfg, precision=precision))
    return CalibrationStudy(preset=sized, device=device, thresholds=kept().hash)


def bases(*, scale: str, device: str, precision: Precision) -> list[Pretrain]:
    """The pretrained models of both halves."""
    half = setting_half(scale=scale, device=device, precision=precision)
    wanted = [(half, seed) for seed in kept().setting or SETTING]
    wanted += [(replace(half, first=kept().test), seed) for seed in _RUN]
    plan = Plan([step for study, seed in wanted for step in needs(study, seed).values()])
    return [step for step in plan.steps.values() if isinstance(step, Pretrain)]
