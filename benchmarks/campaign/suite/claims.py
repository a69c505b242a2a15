"""Claims with the suites' own readings, on models that know next to nothing: what they say must be the same in every run."""

import pytest

from capbench import Case, at_least
from capbench.studies.pcfg.claims import tuned
from capbench.studies.pcfg.readings import behaviour, pruning

CASES = pytest.mark.parametrize("case", [Case(prior="low", c_tr=1, lr="large")], ids=str)


def revived(study, seed, case):
    models = tuned(study, seed, case)
    return {**models, "reft": study.revival(models["tuned"], seed, lr="large")}


@pytest.mark.claim("tiny.pruning", source="none", study="tiny", needs=tuned)
@CASES
def test_pruning(judge):
    """Pruning brings something back."""
    judge.measure((behaviour, ["base", "tuned"]), (pruning, ["tuned"]))
    judge.decide(at_least(judge["pruning.gain"], 0, "O_PT gained"))


@pytest.mark.claim("tiny.learning", source="none", study="tiny", needs=revived)
@CASES
def test_learning(judge):
    """The fine-tuned model knows the new task."""
    judge.measure((behaviour, ["tuned"]))
    judge.decide(at_least(judge["tuned.O_FT.c_te1"], 0, "O_FT"))
