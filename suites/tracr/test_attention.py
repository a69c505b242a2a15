"""Tracr, attention: where the answer position looks after fine-tuning (Fig. 10, 40-48).

In block 1 the compiled Counter attends to every 'a' of the string: that is how it counts. The attention mass on 'a' is
compared with the compiled model's. Control: a model compiled to count 'b' does not attend to 'a'.
"""

import pytest

from capbench.studies.conditions import base_knows
from capbench.studies.judge import Case
from capbench.studies.tracr.readings import attention, behaviour
from capbench.verdicts.claims import at_least
from capbench.verdicts.effects import ratio


def needs(study, seed, case):
    return {
        "base": study.base(seed),
        "tuned": study.finetuned(seed, c_tr=case.c_tr, lr=case.lr),
        "never": study.never(seed),
    }


def look(judge):
    judge.measure((behaviour, ["base", "tuned"]), (attention, ["base", "tuned", "never"]))
    base_knows(judge, "base", "O_PT")
    # Round numbers in this file, fixed with the claims, as the figures give no bound.
    judge.control("attention of the compiled model on O_PT", judge["attention.base.block1.O_PT"], low=0.5)
    judge.control("attention on O_PT of a model compiled for O_FT", judge["attention.never.block1.O_PT"], high=0.1)


def share(judge, operand):
    """Attention mass of the fine-tuned model on the operand, as a share of the compiled model's on O_PT, per seed."""
    tuned, base = judge[f"attention.tuned.block1.{operand}"], judge["attention.base.block1.O_PT"]
    return ratio(tuned, base)


@pytest.mark.claim("tracr.attention.stays", source="Fig. 10, 40-48", study="tracr-counter", needs=needs)
@pytest.mark.parametrize(
    "case",
    [
        Case(c_tr=1, lr="medium"),
        pytest.param(Case(c_tr=1, lr="small"), marks=pytest.mark.extended),
        pytest.param(Case(c_tr=0, lr="small"), marks=pytest.mark.extended),
    ],
    ids=str,
)
def test_tracr_attention_stays_on_the_old_operand(judge):
    """After fine-tuning at C_Tr 1, or at the small rate, the answer position still attends to 'a' as it did."""
    look(judge)
    # The greater part.
    judge.decide(at_least(share(judge, "O_PT"), 0.50, "attention on O_PT, share of the compiled model's"))


@pytest.mark.claim("tracr.attention.moves", source="Fig. 10, 40-48", study="tracr-counter", needs=needs)
@pytest.mark.parametrize("case", [Case(c_tr=0, lr="medium")], ids=str)
def test_tracr_attention_moves_to_the_new_operand(judge):
    """After fine-tuning at C_Tr 0 and the medium rate, the answer position attends to 'b', while 'a' keeps some attention."""
    look(judge)
    judge.decide(  # some of it; less would count as none in the control above
        at_least(share(judge, "O_FT"), 0.10, "attention on O_FT, share of the compiled model's on O_PT"),
        at_least(share(judge, "O_PT"), 0.10, "attention on O_PT, share of the compiled model's"),
    )
