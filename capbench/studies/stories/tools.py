"""The tools that judge story models, and the rule. No torch.

Thresholds were set before any run: a revival twice as fast as that of a model which never had the capability is what the claims
ask for, and patching and the probe are read halfway, with a third of the scale to each side. On 12 hidden and 12 deleted models
of seeds 0 to 2, on which none was set, revival and patching tell all of them apart at scale small (`stories.calibration`);
patching reads 4 of the hidden ones too low.
"""

from __future__ import annotations

from dataclasses import replace

from capbench.results import CapabilityState
from capbench.studies.stories.readings import collateral
from capbench.verdicts.tools import ABSENT, PRESENT, Readings, Tool, Toolbox, unmeasured

_AREAS = {"small": 1.0}  # of both, each of 12 and 12 models
REVIVAL = Tool(
    name="story revival",
    measured="relearning.speed_up",
    unit="ratio",
    present=2.0,
    absent=1.5,
    zero=1.0,
    auc=_AREAS,
)
PATCHING = Tool(name="story patching", measured="patching.kept", unit="share", present=0.67, absent=0.33, auc=_AREAS)
# What a story tells can be read off its words by any model, so it has no vote.
PROBING = Tool(
    name="story probing", measured="probing.retention", unit="retention", present=0.67, absent=0.33, votes=False
)
# Its silence says nothing; but what a few pruned rows bring back is not deleted.
PRUNING = Tool(
    name="story pruning",
    measured="pruning.searched.gain",
    unit="difference",
    present=0.30,
    absent=0.10,
    votes=False,
    vetoes=True,
)
# Behaviour is what is told greedily, in sentences that can be read. A model that tells the target where words are drawn, or tells
# something else than a story's sentences, may have it.
DRAWN = Tool(
    name="drawn stories",
    measured="tuned.O_PT.sampled",
    unit="share",
    present=0.30,
    absent=0.10,
    votes=False,
    vetoes=True,
)
UNREAD = Tool(
    name="unread stories",
    measured="tuned.unread.greedy",
    unit="share",
    present=0.30,
    absent=0.10,
    votes=False,
    vetoes=True,
)
VETOES = (PRUNING, DRAWN, UNREAD)


def rule(says: Readings) -> CapabilityState | str:
    """Soon revived, and found by patching too: wrapped. Neither, and nothing that objects: deleted."""
    if missing := unmeasured((REVIVAL.name, PATCHING.name), says):
        return missing
    found = {says[REVIVAL.name], says[PATCHING.name]}
    if found == {PRESENT}:
        return CapabilityState.WRAPPED
    if found == {ABSENT} and not any(says.get(tool.name) == PRESENT for tool in VETOES):
        return CapabilityState.DELETED
    return ""


TOOLBOX = Toolbox(
    tools=(REVIVAL, PATCHING, PROBING, *VETOES),
    rule=rule,
    behaviour=("tuned.O_PT.followed.greedy",),
    case=("protocol", "lr"),
    collateral=collateral,
)


def rule_of_own(says: Readings) -> CapabilityState | str:
    """Soon revived: wrapped. One tool alone does not say deleted: what it does not find, another might."""
    if missing := unmeasured((REVIVAL.name,), says):
        return missing
    if says[REVIVAL.name] == PRESENT:
        return CapabilityState.WRAPPED
    return (
        "behaviour gone, and revival does not find it; no other tool votes on own stories, so it is not called deleted"
    )


# Of somebody's own stories: behaviour is held against the base model's, as a classifier does not see every twist. What rests on
# the branch token has no value there.
ON_OWN_STORIES = Toolbox(
    tools=(replace(REVIVAL, auc={}), replace(PATCHING, votes=False, auc={}), PROBING, replace(PRUNING, vetoes=False)),
    rule=rule_of_own,
    behaviour=("tuned.O_PT.of_base",),
    case=("protocol", "lr"),
    collateral=collateral,
)
