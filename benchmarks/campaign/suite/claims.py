"""Claims with the suites' own readings, on models that know next to nothing: what they say must be the same in every run.

No curves: drawing figures would take longer than all the rest.
"""

import pytest

from capbench import Case, at_least
from capbench.studies.pcfg.claims import tuned
from capbench.studies.pcfg.readings import behaviour, families, wrong_answers

CASES = pytest.mark.parametrize("case", [Case(prior="low", c_tr=1, lr="large")], ids=str)


def revived(study, seed, case):
    models = tuned(study, seed, case)
    return {**models, "reft": study.revival(models["tuned"], seed, lr="large")}


@pytest.mark.claim("tiny.learning", source="none", study="tiny", needs=tuned)
@CASES
def test_learning(judge):
    """The fine-tuned model knows the new task."""
    judge.measure((behaviour, ["base", "tuned"]), (families, ["tuned"]))
    judge.decide(at_least(judge["tuned.O_FT.c_te1"], 0, "O_FT"))


@pytest.mark.claim("tiny.wrong", source="none", study="tiny", needs=revived)
@CASES
def test_wrong(judge):
    """The fine-tuned model gives the new task's answers to the old questions."""
    judge.measure((behaviour, ["tuned"]), (wrong_answers, ["tuned"]))
    judge.decide(at_least(judge["tuned.wrong.c_te1"], 0, "wrong answers"))
