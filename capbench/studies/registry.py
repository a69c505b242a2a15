"""The experiments that a claim can be about, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from capbench.methods.specs.registry import MethodRef
from capbench.studies.calibration.study import CalibrationStudy
from capbench.studies.lab import Study
from capbench.studies.pcfg.study import PcfgCounter, PcfgIndexer, PcfgJailbreak
from capbench.studies.scales import Scale
from capbench.studies.tracr.study import TracrCounter, TracrMax

STUDIES: Mapping[str, Callable[[Scale, MethodRef | None, str], Study]] = {
    "pcfg-counter": lambda scale, method, device: PcfgCounter(preset=scale.pcfg, method=method, device=device),
    "pcfg-indexer": lambda scale, method, device: PcfgIndexer(preset=scale.pcfg, method=method, device=device),
    "pcfg-jailbreak": lambda scale, method, device: PcfgJailbreak(preset=scale.pcfg, method=method, device=device),
    "tracr-counter": lambda scale, method, device: TracrCounter(preset=scale.tracr, method=method, device=device),
    "tracr-max": lambda scale, method, device: TracrMax(preset=scale.tracr, method=method, device=device),
    "calibration": lambda scale, method, device: CalibrationStudy(preset=scale.calibration, device=device),
}
