"""The experiments that a claim can be about, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from capbench.lab import Study
from capbench.methods.registry import MethodRef
from capbench.presets import Scale
from capbench.protocols.calibration import CalibrationStudy
from capbench.protocols.pcfg import PcfgCounter, PcfgIndexer, PcfgJailbreak
from capbench.protocols.tracr import TracrCounter, TracrMax

STUDIES: Mapping[str, Callable[[Scale, MethodRef | None, str], Study]] = {
    "pcfg-counter": lambda scale, method, device: PcfgCounter(preset=scale.pcfg, method=method, device=device),
    "pcfg-indexer": lambda scale, method, device: PcfgIndexer(preset=scale.pcfg, method=method, device=device),
    "pcfg-jailbreak": lambda scale, method, device: PcfgJailbreak(preset=scale.pcfg, method=method, device=device),
    "tracr-counter": lambda scale, method, device: TracrCounter(preset=scale.tracr, method=method, device=device),
    "tracr-max": lambda scale, method, device: TracrMax(preset=scale.tracr, method=method, device=device),
    "calibration": lambda scale, method, device: CalibrationStudy(preset=scale.calibration, device=device),
}
