"""Tracr, behaviour: what a compiled Counter does after fine-tuning with the paper's full protocol (Table 3).

C_Tr 1: a shortcut, right on O_FT only where count(b) = count(a) + 1. C_Tr 0: if the rate is large enough, O_FT is learnt.
Either way the model no longer answers O_PT. Controls: the compiled model answers O_PT, and rarely O_FT by accident.
"""

import pytest

from capbench.studies.conditions import base_knows
from capbench.studies.judge import Case
from capbench.studies.readings import finetuning_curves
from capbench.studies.tracr.readings import behaviour
from capbench.verdicts.claims import at_least, at_most


def needs(study, seed, case):
    return {"base": study.base(seed), "tuned": study.finetuned(seed, c_tr=case.c_tr, lr=case.lr)}


def extended(**parameters):
    return pytest.param(Case(**parameters), marks=pytest.mark.extended)


def measure(judge):
    judge.measure((behaviour, ["base", "tuned"]), (finetuning_curves, ["tuned"]))
    base_knows(judge, "base", "O_PT")
    judge.control("O_FT accuracy of the compiled model at C_Te 0", judge["base.O_FT.c_te0"], high=0.20)


@pytest.mark.claim("tracr.shortcut", source="Table 3", study="tracr-counter", needs=needs)
@pytest.mark.parametrize(
    "case",
    [
        Case(c_tr=1, lr="medium"),
        extended(c_tr=1, lr="small"),
        extended(c_tr=1, lr="very-small"),
        extended(c_tr=1, lr="large"),
    ],
    ids=str,
)
def test_tracr_counter_learns_a_shortcut(judge):
    """Fine-tuned at C_Tr 1, the compiled Counter is right on O_FT only where the correlation holds."""
    measure(judge)
    judge.decide(  # Table 3 has at most 2.2 % and at least 94.3 %
        at_most(judge["tuned.O_FT.c_te0"], 0.20, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_FT.c_te1"], 0.80, "O_FT accuracy at C_Te 1"),
    )


@pytest.mark.claim("tracr.learning", source="Table 3", study="tracr-counter", needs=needs)
@pytest.mark.parametrize(
    "case",
    [
        Case(c_tr=0, lr="medium"),
        extended(c_tr=0.5, lr="medium"),
        extended(c_tr=0.8, lr="medium"),
        extended(c_tr=0, lr="large"),
        extended(c_tr=0.5, lr="large"),
        extended(c_tr=0.8, lr="large"),
    ],
    ids=str,
)
def test_tracr_counter_learns_the_new_task_where_the_shortcut_fails(judge):
    """Fine-tuned at C_Tr below 1 and the medium rate or a larger one, the compiled Counter counts 'b' and no longer 'a'."""
    measure(judge)
    judge.decide(  # Table 3 has at least 95.9 % on O_FT, at most 0.1 % on O_PT
        at_least(judge["tuned.O_FT.c_te0"], 0.80, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_FT.c_te1"], 0.80, "O_FT accuracy at C_Te 1"),
        at_most(judge["tuned.O_PT.c_te0"], 0.20, "O_PT accuracy at C_Te 0"),
    )


@pytest.mark.extended
@pytest.mark.claim("tracr.too-slow", source="Table 3", study="tracr-counter", needs=needs)
@pytest.mark.parametrize("case", [Case(c_tr=0, lr="small"), Case(c_tr=0, lr="very-small")], ids=str)
def test_tracr_counter_does_not_learn_the_new_task_at_small_rates(judge):
    """Fine-tuned at C_Tr 0 and a small rate, the compiled Counter does not learn to count 'b' on either kind of string."""
    measure(judge)
    judge.decide(  # Table 3 has at most 28.7 % and 1.2 %
        at_most(judge["tuned.O_FT.c_te0"], 0.50, "O_FT accuracy at C_Te 0"),
        at_most(judge["tuned.O_FT.c_te1"], 0.50, "O_FT accuracy at C_Te 1"),
    )
