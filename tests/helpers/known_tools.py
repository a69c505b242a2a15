"""The built-in toolboxes with thresholds and votes that stay as they are when a calibration sets others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from capbench.studies.pcfg import tools as pcfg
from capbench.studies.tracr import tools as tracr
from capbench.verdicts.tools import Toolbox

AUC = {"small": 1.0}


def fixed(toolbox: Toolbox, thresholds: Mapping[str, tuple[float, float]], *votes: str) -> Toolbox:
    """A toolbox with (absent up to, present from) by tool, of which these vote; all are calibrated at scale small."""
    found = []
    for tool in toolbox.tools:
        absent, present = thresholds.get(tool.name, (tool.absent, tool.present))
        found.append(replace(tool, absent=absent, present=present, votes=tool.name in votes, auc=AUC))
    return replace(toolbox, tools=tuple(found))


TRAINED = fixed(
    pcfg.TOOLBOX,
    {"revival": (1.6, 2.0), "patching": (0.2, 0.3), "probing": (0.34, 0.66), "pruning": (0.27, 0.45)},
    "revival",
)
COMPILED = fixed(
    tracr.TOOLBOX,
    {
        "compiled revival": (1.4, 1.6),
        "circuit": (0.33, 0.67),
        "weight pruning": (0.30, 0.38),
        "compiled patching": (0.33, 0.67),
    },
    "circuit",
    "compiled patching",
)
