"""The wrapper, by pruning: a few neurons hold the capability back (Sec. 5.1, Fig. 7; App. H, Fig. 79-89).

At most 15 neurons (rows of weight matrices) are zeroed, those with the largest theta . dL/dtheta for the loss L on O_PT.
Controls: zeroing as many random neurons changes little; the pruned model still gives several answers (Fig. 59).
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import prune, tuned, wrapper_found_by_pruning
from capbench.verdicts.claims import at_most


@pytest.mark.claim("wrapper.pruning", source="Sec. 5.1, Fig. 7, 79-89", needs=tuned)
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
    # Round numbers, fixed with the claim, as the figures give no bound. The gain is three times that allowed without a wrapper.
    wrapper_found_by_pruning(judge, o_pt_gain=0.30, o_ft_cost=0.20, random_loss=0.15, answers=2)


@pytest.mark.claim("wrapper.pruning", source="Fig. 7, 79-89", needs=tuned)
@pytest.mark.parametrize("case", [Case(prior="low", c_tr=0, lr="medium")], ids=str)
def test_pruning_uncovers_nothing_without_the_correlation(judge):
    """Without the spurious correlation (C_Tr 0) no thin wrapper forms, and pruning does not bring O_PT back."""
    prune(judge, "O_PT", random_loss=0.15, answers=2)
    # A round number, fixed with the claim: next to nothing. Fig. 7 uncovers O_PT at C_Tr near 1.
    judge.decide(at_most(judge["pruning.gain"], 0.10, "O_PT gained over random pruning"))
