"""Relevance: what fine-tuning makes of a task depends on whether the base model had the capability (Fig. 5, 6, Table 5).

Weak relevance (low prior of O_FT): the model learns a shortcut, right only where the spurious correlation holds.
Strong relevance (high prior): the capability is amplified, right with and without the correlation.
Control: the base models answer what they were taught. No other capability is required of them.
"""

import pytest

from capbench.studies.conditions import base_knows
from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import (
    amplification,
    growing_amplification,
    shortcut,
    tuned,
    tuned_both_priors,
    tuned_every_prior,
)
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
    """Under weak relevance and C_Tr 1, the fine-tuned model is right on O_FT only where the correlation holds."""
    # Table 5 has 0.0 and 100 % at the medium rate, 0.0 and 99.9 % at the small one.
    shortcut(judge, o_ft_without_correlation=0.20, o_ft_with_correlation=0.90)


@pytest.mark.claim("relevance.amplification", source="Sec. 5.1, Fig. 5, 6, Table 5", needs=tuned_both_priors)
@pytest.mark.parametrize("case", [Case(c_tr=0.8, lr="small")], ids=str)
def test_strong_relevance_beats_weak_relevance(judge):
    """At C_Tr .8 and the small rate, a high prior of O_FT keeps O_PT and gains O_FT where a low prior does not."""
    # Table 5, high and low prior: 99.9 and 8.9 % on O_FT, 100 and 15.1 % on O_PT.
    amplification(judge, o_ft_gain=0.30, o_pt_gain=0.30)


@pytest.mark.extended
@pytest.mark.claim("relevance.gradient", source="Sec. 5.1, Fig. 5, 6, App. C.2", needs=tuned_every_prior)
@pytest.mark.parametrize("case", [Case(c_tr=0.8, lr="small")], ids=str)
def test_amplification_grows_with_the_prior(judge):
    """At C_Tr .8 and the small rate, the higher the prior of O_FT, the more of O_FT is gained and of O_PT kept."""
    # Fig. 5 and 6 have it as an order. Eight of the ten pairs of priors in it, and two against it: two neighbours may be swapped.
    growing_amplification(judge, trend=0.60)


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
    judge.decide(  # Table 5 has 99.8 % and more
        at_least(judge["tuned.O_FT.c_te0"], 0.90, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_PT.c_te0"], 0.90, "O_PT accuracy at C_Te 0"),
    )
