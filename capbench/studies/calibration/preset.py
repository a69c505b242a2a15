"""Sizes of the calibration pool: models whose state is known, at the three scales. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from capbench.studies.pcfg import preset as pcfg
from capbench.studies.pcfg.preset import PcfgPreset
from capbench.studies.tracr import preset as tracr
from capbench.studies.tracr.preset import TracrPreset


@dataclass(frozen=True, kw_only=True)
class CalibrationPreset:
    """pcfg: sizes of trained models, one for each seed in turn, so that width and depth vary; tracr: of compiled ones."""

    name: str
    pcfg: tuple[PcfgPreset, ...]
    tracr: TracrPreset

    def of_seed(self, seed: int) -> PcfgPreset:
        """The size that a seed's trained models have."""
        return self.pcfg[seed % len(self.pcfg)]


def smoke() -> CalibrationPreset:
    """For a look at the pool in minutes: one small size."""
    return CalibrationPreset(name="smoke", pcfg=(pcfg.smoke(),), tracr=tracr.smoke())


def small() -> CalibrationPreset:
    """Three sizes around that of scale `small`, on two of its five task families, so that a base model takes a minute.

    Strings, rates and measurements are those of scale `small`.
    """
    size = replace(
        pcfg.small(),
        setting=pcfg.smoke().setting,
        pretrain_steps=2000,
        probe_blocks=(32, 64, 128, 256, 512, 1024),
    )
    return CalibrationPreset(
        name="small",
        pcfg=(
            replace(size, d_model=48, n_heads=3),
            replace(size, d_model=64, n_heads=4),
            replace(size, d_model=48, n_heads=3, n_blocks=3),
        ),
        tracr=replace(tracr.smoke(), name="small"),
    )


def paper() -> CalibrationPreset:
    """The size of scale `paper`, for a GPU."""
    return CalibrationPreset(name="paper", pcfg=(pcfg.paper(),), tracr=tracr.paper())


PRESETS: Mapping[str, Callable[[], CalibrationPreset]] = {"smoke": smoke, "small": small, "paper": paper}
