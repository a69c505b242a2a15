"""The PCFG studies, made for a scale and a method; and that of a task of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.studies.pcfg.own import PcfgOwn, TaskSpec
from capbench.studies.pcfg.preset import PRESETS, PcfgPreset
from capbench.studies.pcfg.study import PcfgCounter, PcfgIndexer, PcfgJailbreak
from capbench.studies.pcfg.tools import TOOLBOX
from capbench.studies.scales import at_scale


def counter(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> PcfgCounter:
    return PcfgCounter(preset=preset(scale, precision), method=method, device=device, toolbox=TOOLBOX)


def indexer(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> PcfgIndexer:
    return PcfgIndexer(preset=preset(scale, precision), method=method, device=device, toolbox=TOOLBOX)


def jailbreak(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> PcfgJailbreak:
    return PcfgJailbreak(preset=preset(scale, precision), method=method, device=device, toolbox=TOOLBOX)


def own(spec: TaskSpec, *, scale: str, method: MethodRef | None, device: str, precision: Precision) -> PcfgOwn:
    """The study of a task that is not the paper's, for which the tools were never calibrated."""
    found: dict[str, Any] = {"preset": spec.preset(preset(scale, precision)), "method": method, "device": device}
    return PcfgOwn(**found, spec=spec, toolbox=TOOLBOX.uncalibrated())


def preset(scale: str, precision: Precision) -> PcfgPreset:
    """A scale's numbers, its trainings in this precision."""
    return replace(at_scale(PRESETS, scale), precision=precision)
