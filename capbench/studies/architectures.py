"""A study with another architecture: the same tasks, sizes and budgets, and another model. No torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from capbench.errors import UsageError
from capbench.models.named import GPT, path_of
from capbench.studies.base import Study
from capbench.studies.calibration.kept import kept
from capbench.studies.calibration.study import CalibrationStudy
from capbench.studies.pcfg.preset import PcfgPreset
from capbench.studies.pcfg.study import PcfgStudy
from capbench.verdicts.tools import Toolbox

_ANCHORLESS: Any = {"anchor_seeds": ()}  # six more base models would take longer than all else


def with_architecture(study: Study, name: str) -> Study:
    """The study with the architecture of a name (models/named.py), or `module:Class`.

    Thresholds of the tools are the GPT's. Verdicts on another architecture are uncalibrated unless known models of it were
    judged rightly with them. The calibration's pool is then the few models that try that. Raises UsageError, one line, for an
    unknown name, and for a study whose architecture cannot be chosen.
    """
    changed: dict[str, Any]
    if isinstance(study, CalibrationStudy):
        sized = replace(study.preset, pcfg=_of_architecture(study.preset.pcfg, name))
        changed = {"preset": sized, "architecture": name}
    elif isinstance(study, PcfgStudy):
        toolbox = study.toolbox if name == GPT else _tried(study.toolbox, name)
        changed = {"preset": _of_architecture(study.preset, name), "toolbox": toolbox}
    else:
        raise UsageError(f"architecture {name!r}: only PCFG studies can be given one")
    return replace(study, **changed)


def _of_architecture(preset: PcfgPreset, name: str) -> PcfgPreset:
    try:
        return replace(preset, architecture=path_of(name), **({} if name == GPT else _ANCHORLESS))
    except UsageError as error:
        raise UsageError(f"architecture {name!r}: {error}") from None


def _tried(toolbox: Toolbox, name: str) -> Toolbox:
    """With the tools' areas on known models of the architecture; none where it was not tried, or judged them wrongly."""
    areas = kept().tested.get(name, {})
    return replace(toolbox, tools=tuple(replace(tool, auc=areas.get(tool.name, {})) for tool in toolbox.tools))
