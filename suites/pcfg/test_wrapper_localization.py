"""Where the wrapper sits: how little of the change has to be taken back for the old capability to return (Sec. 5.1, Fig. 7).

Rows of the fine-tuned model are set to the base model's values, those first whose change does most to the loss on O_PT. Shares of
single weights and of layers are reported beside them.
Controls: the behaviour is lost; what was chosen on the selection split gives O_PT back on the evaluation split too.
"""

import pytest

from capbench.studies.conditions import base_knows, behaviour_lost
from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import tuned
from capbench.studies.pcfg.readings import behaviour, localization
from capbench.verdicts.claims import at_least, at_most

# Fig. 7: 15 rows uncover O_PT, which are a good 1 % of this model's. To give back 90 %, not a part, is allowed four times that.
FEW = 0.05


def locate(judge):
    judge.measure((behaviour, ["base", "tuned"]), (localization, ["base", "tuned"]))
    base_knows(judge, "base", "O_PT")
    behaviour_lost(judge)
    judge.control("share of O_PT given back on other strings", judge["localization.rows.recovered"], low=0.80)


@pytest.mark.claim("wrapper.localization", source="Sec. 5.1, Fig. 7", needs=tuned)
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="low", c_tr=1, lr="medium"),
        pytest.param(Case(prior="low", c_tr=1, lr="small"), marks=pytest.mark.extended),
    ],
    ids=str,
)
def test_the_wrapper_sits_in_few_rows(judge):
    """Under weak relevance and C_Tr 1, a few rows set back give O_PT back; as many random rows do not."""
    locate(judge)
    above_chance = judge.difference("localization.rows.recovered", "localization.rows.random")
    judge.decide(
        at_most(judge["localization.rows.share"], FEW, "share of rows that gives back 90 % of O_PT"),
        at_least(above_chance, 0.50, "share of O_PT given back, above as many random rows"),
    )


@pytest.mark.extended
@pytest.mark.claim("wrapper.localization", source="Sec. 5.1, Fig. 7", needs=tuned)
@pytest.mark.parametrize("case", [Case(prior="low", c_tr=0, lr="medium")], ids=str)
def test_without_the_correlation_the_change_is_spread(judge):
    """Without the spurious correlation (C_Tr 0) no thin wrapper forms: it takes more rows to give O_PT back."""
    locate(judge)
    judge.decide(at_least(judge["localization.rows.share"], FEW, "share of rows that gives back 90 % of O_PT"))
