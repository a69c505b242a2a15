"""The wrapper, by probing: the lost capability can still be read off the residual stream (Sec. 5.1, Fig. 8; Fig. 90-98).

Plain probe accuracy cannot tell presence from absence here (it is high on a random initialisation), so the claim rests on
description length by online coding. Scale: 0 = a model never taught O_PT, 1 = the pretrained model.
Control: those two must lie apart, or the scale means nothing.
"""

import pytest

from capbench.claims import at_least
from capbench.judge import Case
from capbench.protocols.conditions import base_knows, behaviour_lost
from capbench.protocols.pcfg_readings import behaviour, probing


def needs(study, seed, case):
    return {
        "base": study.base(seed, prior=case.prior),
        "tuned": study.finetuned(seed, prior=case.prior, c_tr=case.c_tr, lr=case.lr),
        "never": study.base(seed, prior="never"),
        "initial": study.initialised(seed),
    }


@pytest.mark.claim("wrapper.probing", source="Sec. 5.1, Fig. 8, 90-98", needs=needs)
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="low", c_tr=1, lr="small"),
        Case(prior="low", c_tr=1, lr="medium"),
        Case(prior="low", c_tr=0, lr="medium"),
    ],
    ids=str,
)
def test_the_lost_capability_can_still_be_read(judge):
    """After fine-tuning took the behaviour away, a probe reads the answer for O_PT nearly as easily as before."""
    judge.measure((behaviour, ["base", "tuned", "never"]), (probing, ["base", "tuned", "never", "initial"]))
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("bits per sample, never taught - pretrained", judge["probing.range"], low=0.20)
    judge.decide(at_least(judge["probing.retention"], 0.70, "probe retention"))
