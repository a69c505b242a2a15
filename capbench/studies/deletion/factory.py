"""The study of deletion, made for a scale and a method."""

from __future__ import annotations

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.studies.deletion.study import DeletionCounter
from capbench.studies.pcfg.factory import preset
from capbench.studies.pcfg.tools import TOOLBOX


def counter(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> DeletionCounter:
    """The tools are those of the paper's Counter: task and sizes are its own but where a case changes them."""
    return DeletionCounter(preset=preset(scale, precision), method=method, device=device, toolbox=TOOLBOX)
