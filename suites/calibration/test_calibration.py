"""Calibration: do the tools and the verdict tell intact, wrapped and deleted apart, on models of known state?

Known intact: nothing done, more pretraining, rewrites that keep the function. Known wrapped: the capability as it was, behind a
part that was added. Known deleted: never taught, weights drawn anew, weights zeroed. The models are trained Counters and Indexers
of three sizes, and compiled Counters. The thresholds were set on the pools of seeds 100 and up (`capbench calibrate`), which are
not used here. Controls: the base models have the capability; there are enough models of each state.
"""

import pytest

from capbench.studies.calibration.readings import calibration, figures, pool
from capbench.studies.judge import Case
from capbench.verdicts.claims import at_least, at_most

SEPARATES = 0.95  # AUC of a tool, wrapped against deleted
RIGHT = 0.95  # share of right verdicts
STATES = ("intact", "wrapped", "deleted")


def measured(judge, *also):
    members = list(next(iter(judge.steps.values())))
    judge.measure(*((reading, members) for reading in (calibration, *also)))
    judge.control("O_PT accuracy of the weakest base model", judge["base"], low=0.90)
    for state in STATES:
        judge.control(f"models known to be {state}, per seed", judge[f"known.{state}"], low=10)


@pytest.mark.extended
@pytest.mark.claim("calibration.tool", source="Sec. 3, Def. 1-3", study="calibration", needs=pool, uses_method=False)
@pytest.mark.parametrize(
    "case",
    [Case(tool=name) for name in ("revival", "probing", "pruning", "circuit", "weight-pruning", "compiled-revival")],
    ids=str,
)
def test_the_tool_tells_wrapped_from_deleted(judge, case):
    """The tool ranks known wrapped models above known deleted ones (AUC); pruning of neurons, those wrapped in neurons."""
    measured(judge)
    tool = case.tool.replace("-", " ")
    judge.decide(at_least(judge[f"auc.{tool}"], SEPARATES, f"AUC of {tool}, wrapped against deleted"))


@pytest.mark.extended
@pytest.mark.claim("calibration.verdict", source="Sec. 3, Def. 1-3", study="calibration", needs=pool, uses_method=False)
def test_the_verdict_is_right(judge):
    """The verdict of all tools together is right on known models, and no deleted model is ever called intact."""
    measured(judge, figures)
    judge.decide(
        at_least(judge["right"], RIGHT, "share of right verdicts"),
        at_most(judge["deleted_called_intact"], 0, "deleted models called intact"),
    )
