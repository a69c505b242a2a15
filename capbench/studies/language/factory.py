"""The studies of a given language model, made for a scale and a method."""

from __future__ import annotations

from dataclasses import replace

from capbench.configs import Precision
from capbench.methods.specs.registry import MethodRef
from capbench.studies.language.implant_preset import PRESETS
from capbench.studies.language.implant_study import ImplantStudy
from capbench.studies.language.implant_tools import TOOLBOX
from capbench.studies.language.natural_preset import PRESETS as NATURAL
from capbench.studies.language.natural_study import NaturalStudy, PairStudy
from capbench.studies.scales import at_scale


def implant(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> ImplantStudy:
    """A skill that is taught first."""
    preset = replace(at_scale(PRESETS, scale), precision=precision)
    return ImplantStudy(preset=preset, method=method, device=device, toolbox=TOOLBOX)


def natural(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> NaturalStudy:
    """What the model has from pretraining, after the method."""
    preset = replace(at_scale(NATURAL, scale), precision=precision)
    return NaturalStudy(preset=preset, method=method, device=device)


def pair(*, scale: str, method: MethodRef | None, device: str, precision: Precision) -> PairStudy:
    """What the model has from pretraining, in a model that somebody else changed."""
    preset = replace(at_scale(NATURAL, scale), precision=precision)
    return PairStudy(preset=preset, device=device)
