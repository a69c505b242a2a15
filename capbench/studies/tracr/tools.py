"""The tools that judge compiled models, their thresholds, and the rule. No torch.

Where a compiled model's capability writes is known, so its circuit is read instead of probed for. Thresholds, votes and AUCs in
force are those of the calibration (see kept.py).
"""

from __future__ import annotations

from capbench.results import CapabilityState
from capbench.studies import attacks
from capbench.studies.calibration.kept import calibrated
from capbench.verdicts.tools import ABSENT, PRESENT, Readings, Tool, Toolbox, unmeasured

# It depends on the learning rate and on how stiff the weights are; what was never taught is often stuck, and so is what is
# hidden. So its silence says nothing; but what comes back soon is not deleted.
REVIVAL = Tool(
    name="compiled revival",
    measured="revival.speed_up",
    unit="ratio",
    present=1.6,
    absent=1.4,
    votes=False,
    vetoes=True,
)
CIRCUIT = Tool(
    name="circuit",
    measured="circuit.retention",
    unit="retention",
    present=0.67,
    absent=0.33,
)
# Single weights belong to a basis: a rotated stream or scaled pairs leave the function as it was, and other weights to prune. So
# it has no vote; but what a few pruned weights bring back is not deleted.
WEIGHTS = Tool(
    name="weight pruning",
    measured="pruning.weights.gain",
    unit="difference",
    present=0.38,
    absent=0.30,
    votes=False,
    vetoes=True,
)
PATCHING = Tool(name="compiled patching", measured="patching.kept", unit="share", present=0.67, absent=0.33)


def rule(says: Readings) -> CapabilityState | str:
    """The count can be read from the circuit as before: wrapped. Nor read, nor patched, nor soon back, nor pruned free: deleted.

    Patching speaks where it was measured: a model with a block more than its base cannot always be patched.
    """
    if missing := unmeasured((CIRCUIT.name,), says):
        return missing
    circuit, patching = says[CIRCUIT.name], says.get(PATCHING.name)
    if circuit == PRESENT and patching != ABSENT:
        return CapabilityState.WRAPPED
    if circuit == ABSENT and PRESENT not in (patching, says.get(REVIVAL.name), says.get(WEIGHTS.name)):
        return CapabilityState.DELETED
    return ""


PROVISIONAL = Toolbox(tools=(REVIVAL, CIRCUIT, WEIGHTS, PATCHING, *attacks.TOOLS), rule=rule)
TOOLBOX = calibrated("compiled", PROVISIONAL)
