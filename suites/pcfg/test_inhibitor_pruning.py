"""The inhibitor: under strong relevance and the large rate, pruning removes what suppresses O_PT, and O_FT stays (Fig. 86, 88).

Removing a wrapper around O_PT costs O_FT (test_wrapper_pruning.py). Here O_FT is a capability of its own, and the pruned neurons
only held O_PT back. The controls are the same. They are chosen by a greedy search, and may be more.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import WIDE_SEARCH, prune, tuned
from capbench.verdicts.claims import at_least, at_most

pytestmark = pytest.mark.extended


@pytest.mark.claim("inhibitor.pruning", source="Fig. 86, 88", needs=tuned)
@pytest.mark.parametrize(
    "case",
    [Case(prior="high", c_tr=0.5, lr="large"), Case(prior="high", c_tr=1, lr="large")],
    ids=str,
)
def test_pruning_removes_an_inhibitor(judge):
    """Under strong relevance and the large rate, pruning at most 60 neurons brings O_PT back and leaves O_FT."""
    prune(judge, "O_PT", "O_FT", random_loss=0.15, answers=2, by=WIDE_SEARCH)
    judge.decide(
        at_least(judge["pruning.wide.gain"], 0.30, "O_PT gained over random pruning"),
        at_most(judge["pruning.wide.cost"], 0.20, "O_FT (C_Te 1) lost to pruning"),
    )
