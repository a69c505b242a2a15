"""Relevance: what fine-tuning makes of a task depends on whether the base model had the capability (Fig. 5, 6, Table 5).

Weak relevance (low prior of O_FT): the model learns a shortcut, right only where the spurious correlation holds.
Strong relevance (high prior): the capability is amplified, right with and without the correlation.
Control: the base models must know what they were taught, and nothing else is asked of them.
"""

import pytest

from capbench.studies.conditions import base_knows
from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import amplification, shortcut, tuned, tuned_both_priors
from capbench.studies.pcfg.readings import behaviour
from capbench.studies.readings import finetuning_curves
from capbench.verdicts.claims import at_least


@pytest.mark.claim("relevance.shortcut", source="Sec. 5.1, Fig. 5, Table 5", needs=tuned)
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="low", c_tr=1, lr="medium"),
        pytest.param(Case(prior="low", c_tr=1, lr="small"), marks=pytest.mark.extended),
    ],
    ids=str,
)
def test_weak_relevance_learns_a_shortcut(judge):
    """Under weak relevance and C_Tr 1 the fine-tuned model is right on O_FT only where the correlation holds."""
    shortcut(judge)


@pytest.mark.claim("relevance.amplification", source="Sec. 5.1, Fig. 5, 6, Table 5", needs=tuned_both_priors)
@pytest.mark.parametrize("case", [Case(c_tr=0.8, lr="small")], ids=str)
def test_strong_relevance_beats_weak_relevance(judge):
    """At C_Tr .8 and the small rate, a high prior of O_FT keeps O_PT and gains O_FT where a low prior does not."""
    amplification(judge)


@pytest.mark.claim("relevance.retention", source="Sec. 5.1, Fig. 6, Table 5", needs=tuned)
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="high", c_tr=0.8, lr="small"),
        pytest.param(Case(prior="high", c_tr=0, lr="small"), marks=pytest.mark.extended),
    ],
    ids=str,
)
def test_strong_relevance_keeps_both_tasks(judge):
    """Under strong relevance, C_Tr below 1 and the small rate, O_PT and O_FT stay right at C_Te 0."""
    judge.measure((behaviour, ["base", "tuned"]), (finetuning_curves, ["tuned"]))
    base_knows(judge, "base", "O_PT", "O_FT")
    judge.decide(*(at_least(judge[f"tuned.{o}.c_te0"], 0.90, f"{o} accuracy at C_Te 0") for o in ("O_FT", "O_PT")))
