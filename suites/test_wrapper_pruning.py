"""The wrapper, by pruning: a few neurons hold the capability back (Sec. 5.1, Fig. 7; App. H, Fig. 79-89).

At most 15 neurons (rows of weight matrices) are zeroed, those with the largest theta . dL/dtheta for the loss L on O_PT.
Controls: equally many random neurons change nothing; the pruned model still gives several answers (Fig. 59).
"""

import pytest

from capbench.claims import at_least, at_most
from capbench.judge import Case
from capbench.protocols.conditions import base_knows, behaviour_lost
from capbench.protocols.pcfg_readings import behaviour, pruning


def needs(study, seed, case):
    return {
        "base": study.base(seed, prior=case.prior),
        "tuned": study.finetuned(seed, prior=case.prior, c_tr=case.c_tr, lr=case.lr),
    }


def prune(judge):
    judge.measure((behaviour, ["base", "tuned"]), (pruning, ["tuned"]))
    base_knows(judge, "base", "O_PT")
    behaviour_lost(judge)
    judge.control("O_PT accuracy lost to as many random neurons", judge["pruning.random_loss"], low=-0.15, high=0.15)
    judge.control("different answers after pruning", judge["pruning.classes"], low=2)


@pytest.mark.claim("wrapper.pruning", source="Sec. 5.1, Fig. 7, 79-89", needs=needs)
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="low", c_tr=1, lr="small"),
        Case(prior="low", c_tr=1, lr="medium"),
        pytest.param(Case(prior="low", c_tr=0.8, lr="small"), marks=pytest.mark.extended),
    ],
    ids=str,
)
def test_pruning_a_few_neurons_uncovers_the_capability(judge):
    """Under weak relevance and high C_Tr, pruning at most 15 neurons brings O_PT back and costs O_FT accuracy."""
    prune(judge)
    judge.decide(
        at_least(judge["pruning.gain"], 0.30, "O_PT gained over random pruning"),
        at_least(judge["pruning.cost"], 0.20, "O_FT (C_Te 1) lost to pruning"),
    )


@pytest.mark.claim("wrapper.pruning", source="Fig. 7, 79-89", needs=needs)
@pytest.mark.parametrize("case", [Case(prior="low", c_tr=0, lr="medium")], ids=str)
def test_pruning_uncovers_nothing_without_the_correlation(judge):
    """Without the spurious correlation (C_Tr 0) no thin wrapper forms: pruning does not bring O_PT back."""
    prune(judge)
    judge.decide(at_most(judge["pruning.gain"], 0.10, "O_PT gained over random pruning"))
