"""The fine-tuning data: the answers spread over many classes, whatever C_Tr is (Fig. 16).

Otherwise a constant answer would do well, and accuracy would say nothing. No model is needed. Control: the answers of natural
strings spread over at least as many classes as the claim asks for.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.readings import class_balance
from capbench.verdicts.claims import at_least, at_most
from capbench.verdicts.effects import ratio

CASES = [Case(c_tr=c_tr) for c_tr in (0, 0.5, 1)]


def needs(study, seed, case):
    return {}


def weigh(judge):
    judge.measure((class_balance, []))
    which = f"c_tr{judge.case.c_tr:g}"
    judge.control("effective classes of natural strings", judge["balance.classes.natural"], low=4)
    share = ratio(judge[f"balance.classes.{which}"], judge["balance.classes.natural"])
    # Round numbers, fixed with the claim. One answer to all texts must stay far from the .90 that other claims ask for, and the
    # correlation may cost half of the classes that the grammar itself gives.
    judge.decide(
        at_least(judge[f"balance.classes.{which}"], 4.0, "effective number of answer classes"),
        at_most(judge[f"balance.largest.{which}"], 0.40, "share of the commonest answer"),
        at_least(share, 0.50, "effective classes, share of natural strings'"),
    )


@pytest.mark.claim("data.balance.counter", source="Fig. 16", needs=needs, uses_method=False)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_answers_of_the_counter_spread_over_many_classes(judge):
    """The answers in the Counter's fine-tuning data spread over at least four classes, and half as many as in natural strings."""
    weigh(judge)


@pytest.mark.claim("data.balance.indexer", source="Fig. 16", study="pcfg-indexer", needs=needs, uses_method=False)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_answers_of_the_indexer_spread_over_many_classes(judge):
    """The answers in the Indexer's fine-tuning data spread over at least four classes, and half as many as in natural strings."""
    weigh(judge)
