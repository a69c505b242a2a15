"""Deletion: a recurrent network that no longer gives the first letter no longer carries it either.

Control: the base model recalls it.
"""

import pytest
from study import behaviour, reading

from capbench import Case, at_most


def needs(study, seed, case):
    tuned = study.finetuned(seed, lr=case.lr)
    return {"base": tuned.base, "tuned": tuned}


@pytest.mark.claim("recall.deletion", source="my notes", study="recall", needs=needs)
@pytest.mark.parametrize("case", [Case(lr="medium")], ids=str)
def test_the_first_letter_cannot_be_read(judge):
    """The first letter cannot be read off the state of a network that was tuned to give the last."""
    judge.measure((behaviour, ["base", "tuned"]), (reading, ["tuned"]))
    judge.control("the base model recalls the first letter", judge["base.first"], low=0.95)
    judge.control("the tuned model recalls the first letter", judge["tuned.first"], high=0.5)
    judge.decide(at_most(judge["reading.accuracy"], 0.8, "first letters read"))
