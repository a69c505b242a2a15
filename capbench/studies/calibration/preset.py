"""Sizes of the calibration pool: those of the suites, at the three scales. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from capbench.studies.pcfg import preset as pcfg
from capbench.studies.pcfg.preset import PcfgPreset
from capbench.studies.tracr import preset as tracr
from capbench.studies.tracr.preset import TracrPreset


@dataclass(frozen=True, kw_only=True)
class CalibrationPreset:
    """pcfg: of trained models; tracr: of compiled ones. most: at most so many models of each kind and seed; None: all."""

    name: str
    pcfg: PcfgPreset
    tracr: TracrPreset
    most: int | None = None


def smoke() -> CalibrationPreset:
    """For a look at the pool in minutes: one model of each kind."""
    return CalibrationPreset(name="smoke", pcfg=pcfg.smoke(), tracr=tracr.smoke(), most=1)


def small() -> CalibrationPreset:
    """The suites' own tasks, sizes and budgets."""
    return CalibrationPreset(name="small", pcfg=pcfg.small(), tracr=tracr.small())


def paper() -> CalibrationPreset:
    """The size of scale `paper`, for a GPU."""
    return CalibrationPreset(name="paper", pcfg=pcfg.paper(), tracr=tracr.paper())


PRESETS: Mapping[str, Callable[[], CalibrationPreset]] = {"smoke": smoke, "small": small, "paper": paper}
