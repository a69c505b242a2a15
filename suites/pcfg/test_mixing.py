"""Mixing pretraining data into fine-tuning protects the old capability and does not prevent the shortcut (App. E.1).

50 %, 10 % or 0.1 % of the fine-tuning strings are drawn from the pretraining distribution, which asks for O_PT too.
Control: the same fine-tuning without any mixing loses O_PT.
"""

import pytest

from capbench.studies.conditions import base_knows
from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import tuned
from capbench.studies.pcfg.readings import behaviour
from capbench.studies.readings import finetuning_curves
from capbench.verdicts.claims import at_least, at_most

pytestmark = pytest.mark.extended


def needs(study, seed, case):
    unmixed = study.finetuned(seed, **{**case.parameters, "mixing": 0})
    return {**tuned(study, seed, case), "unmixed": unmixed}


def cases(*shares):
    return [Case(prior="low", c_tr=1, lr="medium", mixing=share) for share in shares]


def mix(judge):
    judge.measure((behaviour, ["base", "tuned", "unmixed"]), (finetuning_curves, ["tuned"]))
    base_knows(judge, "base", "O_PT")
    judge.control("O_PT accuracy at C_Te 0 without mixing", judge["unmixed.O_PT.c_te0"], high=0.50)


@pytest.mark.claim("mixing.retention", source="App. E.1", needs=needs)
@pytest.mark.parametrize("case", cases(0.5, 0.1), ids=str)
def test_mixing_keeps_the_old_capability(judge):
    """With 50 or 10 % of pretraining data, weak relevance and C_Tr 1, O_PT stays right, with and without the correlation."""
    mix(judge)
    judge.decide(
        at_least(judge["tuned.O_PT.c_te0"], 0.90, "O_PT accuracy at C_Te 0"),
        at_least(judge["tuned.O_PT.c_te1"], 0.90, "O_PT accuracy at C_Te 1"),
    )


@pytest.mark.claim("mixing.too-little", source="App. E.1", needs=needs)
@pytest.mark.parametrize("case", cases(0.001), ids=str)
def test_a_trace_of_mixing_does_not(judge):
    """With 0.1 % of pretraining data, O_PT is lost as it is without any."""
    mix(judge)
    judge.decide(at_most(judge["tuned.O_PT.c_te0"], 0.50, "O_PT accuracy at C_Te 0"))


@pytest.mark.claim("mixing.shortcut", source="App. E.1", needs=needs)
@pytest.mark.parametrize("case", cases(0.5, 0.1, 0.001), ids=str)
def test_mixing_does_not_prevent_the_shortcut(judge):
    """Whatever share is mixed in, O_FT is learnt as a shortcut: right only where the correlation holds."""
    mix(judge)
    judge.decide(  # as without mixing: test_relevance.py
        at_most(judge["tuned.O_FT.c_te0"], 0.20, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_FT.c_te1"], 0.90, "O_FT accuracy at C_Te 1"),
    )
