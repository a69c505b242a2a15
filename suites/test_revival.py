"""Revival: reverse fine-tuning brings the capability back far sooner than learning it takes (Sec. 5.1, Fig. 9, 26, 28, 29).

Baselines with equal budgets: Scr.+FT (pretrained on O_FT only, then fine-tuned on O_PT) and Scr. (random initialisation).
Controls: neither baseline has the capability before its first step.
"""

import pytest

from capbench.claims import at_least
from capbench.judge import Case
from capbench.protocols.conditions import LOST, base_knows, behaviour_lost
from capbench.protocols.pcfg_readings import behaviour
from capbench.protocols.shared_readings import revival

RATES = ("medium", "small")


def needs(study, seed, case):
    tuned = study.finetuned(seed, prior=case.prior, c_tr=case.c_tr, lr=case.lr)
    never, initial = study.base(seed, prior="never"), study.initialised(seed)
    return {
        "base": study.base(seed, prior=case.prior),
        "tuned": tuned,
        "never": never,
        **{f"reft_{rate}": study.revival(tuned, seed, lr=rate) for rate in RATES},
        **{f"scrft_{rate}": study.revival(never, seed, lr=rate) for rate in RATES},
        "scr_medium": study.revival(initial, seed, lr="medium"),
    }


@pytest.mark.claim("revival.efficiency", source="Sec. 5.1, Fig. 9, 26, 28, 29", needs=needs)
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="low", c_tr=1, lr="small"),
        Case(prior="low", c_tr=1, lr="medium"),
        Case(prior="low", c_tr=0, lr="medium"),
    ],
    ids=str,
)
def test_revival_is_faster_than_learning(judge):
    """reFT reaches 95 % in at most half the steps of Scr.+FT at the medium rate, and gets there at the small rate too."""
    curves = [f"{kind}_{rate}" for kind in ("reft", "scrft") for rate in RATES]
    judge.measure((behaviour, ["base", "tuned", "never"]), (revival, [*curves, "scr_medium"]))
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("O_PT accuracy of Scr.+FT before its first step", judge["revival.scrft.medium.start"], high=LOST)
    judge.control("O_PT accuracy of Scr. before its first step", judge["revival.scr.medium.start"], high=0.50)
    judge.decide(
        at_least(judge["revival.ratio.medium"], 2.0, "steps to 95 %, Scr.+FT / reFT, medium rate"),
        at_least(judge["revival.reft.small.best"], 0.95, "O_PT accuracy reached by reFT, small rate"),
    )
