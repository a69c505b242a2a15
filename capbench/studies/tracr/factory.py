"""The studies of compiled models, made for a scale and a method. Their weights are large, so they stay in float32."""

from __future__ import annotations

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.studies.scales import at_scale
from capbench.studies.tracr.preset import PRESETS
from capbench.studies.tracr.study import TracrCounter, TracrMax
from capbench.studies.tracr.tools import TOOLBOX


def counter(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> TracrCounter:
    return TracrCounter(preset=at_scale(PRESETS, scale), method=method, device=device, toolbox=TOOLBOX)


def largest(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> TracrMax:
    return TracrMax(preset=at_scale(PRESETS, scale), method=method, device=device, toolbox=TOOLBOX)
