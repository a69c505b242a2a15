"""Calibration: do the tools and the verdict tell intact, wrapped and deleted apart, on models whose state is known?

Known intact: nothing done, more pretraining, rewrites that keep the function. Known wrapped: the capability as it was, behind a
part that was added. Known deleted: never taught, drawn anew, zeroed. On trained Counters and Indexers of three sizes, and on
compiled Counters. The thresholds were set on the pools of seeds 100 and up (`capbench calibrate`), which are not looked at here.
Controls: the base models have the capability; there are enough models of each state.
"""

import pytest

from capbench.studies.calibration.readings import calibration, figures, pool
from capbench.studies.judge import Case
from capbench.verdicts.claims import at_least, at_most

SEPARATES = RIGHT = 0.95
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
    """The tool puts known wrapped models above known deleted ones (AUC); pruning of neurons those wrapped in neurons."""
    measured(judge)
    tool = case.tool.replace("-", " ")
    judge.decide(at_least(judge[f"auc.{tool}"], SEPARATES, f"AUC of {tool}, wrapped against deleted"))


@pytest.mark.extended
@pytest.mark.claim("calibration.verdict", source="Sec. 3, Def. 1-3", study="calibration", needs=pool, uses_method=False)
def test_the_verdict_is_right(judge):
    """The verdict of all tools together is right on known models, and nothing deleted is ever called intact."""
    measured(judge, figures)
    judge.decide(
        at_least(judge["right"], RIGHT, "share of right verdicts"),
        at_most(judge["deleted_called_intact"], 0, "deleted models called intact"),
    )
