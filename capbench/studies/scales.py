"""The three scales: every size, rate and count, each with its source. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from capbench.configs import Precision
from capbench.studies.calibration import preset as calibration
from capbench.studies.pcfg import preset as pcfg
from capbench.studies.tracr import preset as tracr


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What `--capbench-scale` chooses; seeds: how many by default."""

    name: str
    seeds: int
    pcfg: pcfg.PcfgPreset
    tracr: tracr.TracrPreset
    calibration: calibration.CalibrationPreset

    def computed_in(self, precision: Precision) -> Scale:
        """The same with the trainings of GPTs in this precision, those of the calibration too; compiled models, whose weights

        are large, stay in float32.
        """
        return replace(
            self,
            pcfg=replace(self.pcfg, precision=precision),
            calibration=replace(
                self.calibration, pcfg=tuple(replace(size, precision=precision) for size in self.calibration.pcfg)
            ),
        )


def smoke() -> Scale:
    """For this project's own CI: minutes, one seed."""
    return Scale(name="smoke", seeds=1, pcfg=pcfg.smoke(), tracr=tracr.smoke(), calibration=calibration.smoke())


def small() -> Scale:
    """The default: real effects on a 2-core CPU."""
    return Scale(name="small", seeds=3, pcfg=pcfg.small(), tracr=tracr.small(), calibration=calibration.small())


def paper() -> Scale:
    """The paper's own numbers: on a GPU; Tracr also on a CPU."""
    return Scale(name="paper", seeds=3, pcfg=pcfg.paper(), tracr=tracr.paper(), calibration=calibration.paper())


SCALES: Mapping[str, Callable[[], Scale]] = {"smoke": smoke, "small": small, "paper": paper}
