"""A PCFG study with another architecture: the same tasks, sizes and budgets, and another model. No torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from capbench.errors import UsageError
from capbench.models.named import GPT, path_of
from capbench.studies.base import Study
from capbench.studies.pcfg.study import PcfgStudy

_ANCHORLESS: Any = {"anchor_seeds": ()}  # six more base models would take longer than all else


def with_architecture(study: Study, name: str) -> Study:
    """The study with the architecture of a name (models/named.py), or `module:Class`.

    The tools were calibrated on the GPT, so verdicts on another architecture are uncalibrated. Raises UsageError, one line, for
    an unknown name, and for a study whose architecture cannot be chosen.
    """
    if not isinstance(study, PcfgStudy):
        raise UsageError(f"architecture {name!r}: only PCFG studies can be given one")
    try:
        preset = replace(study.preset, architecture=path_of(name), **({} if name == GPT else _ANCHORLESS))
    except UsageError as error:
        raise UsageError(f"architecture {name!r}: {error}") from None
    toolbox = study.toolbox if name == GPT else study.toolbox.uncalibrated()
    changed: dict[str, Any] = {"preset": preset, "toolbox": toolbox}
    return replace(study, **changed)
