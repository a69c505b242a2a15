"""The tools that judge models trained on PCFG tasks, their thresholds, and the rule. No torch.

The thresholds and AUCs here are provisional: those of revival, probing and pruning are of the first calibration (seeds 100, 101;
AUCs of seeds 0 to 2), which was of earlier forms of these tools. `capbench calibrate` sets them anew.
"""

from __future__ import annotations

from capbench.results import CapabilityState
from capbench.studies import attacks
from capbench.studies.calibration.kept import calibrated
from capbench.studies.pcfg.readings import collateral
from capbench.verdicts.by_seed import GONE, KEPT
from capbench.verdicts.tools import ABSENT, PRESENT, Readings, Tool, Toolbox, unmeasured

REVIVAL = Tool(
    name="revival",
    measured="revival.speed_up",
    unit="ratio",
    present=2.0,
    absent=1.6,
    auc={"small": 1.0},
    zero=1.0,
    spread="revival.speed_up.spread",
)
# Provisional: set when the probe read the raw stream and its zero was the untouched never-taught model.
PROBING = Tool(
    name="probing",
    measured="probing.retention",
    unit="retention",
    present=0.66,
    absent=0.34,
    auc={"small": 1.0},
    spread="probing.zero_spread",
)
# Provisional: set for the single-shot protocol of the claims, with whose basis its figure changes.
PRUNING = Tool(
    name="pruning", measured="pruning.searched.gain", unit="difference", present=0.45, absent=0.27, auc={"small": 1.0}
)
# Provisional: on smoke models of seeds 100 and 101, what is wrapped keeps .39 or more, what was never taught .11 or less.
PATCHING = Tool(name="patching", measured="patching.kept", unit="share", present=0.30, absent=0.20)
RETAIN_ONLY = Tool(
    name="retain-only revival", measured="revival.retain_only", unit="accuracy", present=KEPT, absent=GONE, votes=False
)


def rule(says: Readings) -> CapabilityState | str:
    """Revived, and read, patched or uncovered: wrapped. Nor revived, nor read, nor patched, nor uncovered: deleted.

    Patching speaks where it was measured; an architecture without blocks has no layers to patch.
    """
    if missing := unmeasured((REVIVAL.name, PROBING.name), says):
        return missing
    revival, probing, pruning, patching = (says.get(tool.name) for tool in (REVIVAL, PROBING, PRUNING, PATCHING))
    if revival == PRESENT and PRESENT in (probing, pruning, patching):
        return CapabilityState.WRAPPED
    if revival == probing == ABSENT and PRESENT not in (pruning, patching):
        return CapabilityState.DELETED
    return ""


TOOLBOX = calibrated(
    "trained",
    Toolbox(tools=(REVIVAL, PROBING, PRUNING, PATCHING, RETAIN_ONLY, *attacks.TOOLS), rule=rule, collateral=collateral),
)
