"""The Indexer: the Counter's claims hold for another kind of task (Fig. 61, 69, 80, 91).

The model is fine-tuned from the place of the k-th a to that of the k-th b. Spurious correlation: index(b) = index(a) + q.
Thresholds and controls are those of the Counter: test_relevance.py, test_revival.py, test_wrapper_pruning.py and
test_wrapper_probing.py. Pruning chooses its neurons by a greedy search, and may take more of them: its wrapper is thicker.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import (
    WIDE_SEARCH,
    amplification,
    probe,
    probed,
    revive,
    revived,
    revived_at_the_small_rate,
    revived_sooner,
    shortcut,
    still_readable,
    tuned,
    tuned_both_priors,
    wrapper_found_by_pruning,
)

pytestmark = pytest.mark.extended
CASES = [Case(prior="low", c_tr=1, lr="medium")]


@pytest.mark.claim("indexer.shortcut", source="Fig. 61", study="pcfg-indexer", needs=tuned)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_indexer_learns_a_shortcut_under_weak_relevance(judge):
    """Under weak relevance and C_Tr 1, the fine-tuned Indexer is right on O_FT only where the correlation holds."""
    shortcut(judge, o_ft_without_correlation=0.20, o_ft_with_correlation=0.90)


@pytest.mark.claim("indexer.amplification", source="Fig. 61", study="pcfg-indexer", needs=tuned_both_priors)
@pytest.mark.parametrize("case", [Case(c_tr=0.8, lr="small")], ids=str)
def test_indexer_is_amplified_under_strong_relevance(judge):
    """At C_Tr .8 and the small rate, a high prior of O_FT keeps O_PT and gains O_FT where a low prior does not."""
    amplification(judge, o_ft_gain=0.30, o_pt_gain=0.30)


@pytest.mark.claim("indexer.pruning", source="Fig. 80", study="pcfg-indexer", needs=tuned)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_pruning_uncovers_the_indexer(judge):
    """Under weak relevance and C_Tr 1, pruning at most 60 neurons brings O_PT back and costs O_FT accuracy."""
    wrapper_found_by_pruning(judge, o_pt_gain=0.30, o_ft_cost=0.20, random_loss=0.15, answers=2, by=WIDE_SEARCH)


@pytest.mark.claim("indexer.probing", source="Fig. 91", study="pcfg-indexer", needs=probed)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_index_can_still_be_read(judge):
    """After fine-tuning took the behaviour away, a probe reads the place of the k-th a nearly as easily as before."""
    probe(judge, bits_apart=0.20)
    judge.decide(still_readable(judge, retention=0.70))


@pytest.mark.claim("indexer.revival", source="Fig. 69", study="pcfg-indexer", needs=revived)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_indexer_is_revived_sooner_than_learnt(judge):
    """reFT reaches 95 % in at most half the steps of Scr.+FT at the medium rate, and gets there at the small rate too."""
    revive(judge)
    judge.decide(revived_sooner(judge, ratio=2.0), revived_at_the_small_rate(judge, o_pt_accuracy=0.95))
