"""Teaching wrong answers (randFT): prompts go on to ask for O_PT, and the answer for O_FT is given to them (App. E.4).

The capability is no more deleted by that than by ordinary fine-tuning: it is revived as soon, and a probe still reads it.
Controls: the model does give the wrong answers (else nothing was taught); those of revival and of probing.
"""

import pytest

from capbench.claims import at_least
from capbench.judge import Case
from capbench.protocols.conditions import LOST, base_knows, behaviour_lost
from capbench.protocols.pcfg_readings import behaviour, probing, wrong_answers
from capbench.protocols.shared_readings import finetuning_curves, revival

RATES = ("medium", "small")
CASES = [
    Case(prior="low", c_tr=1, lr="medium", wrong_answers=True),
    pytest.param(Case(prior="low", c_tr=0, lr="medium", wrong_answers=True), marks=pytest.mark.extended),
    pytest.param(Case(prior="high", c_tr=0, lr="medium", wrong_answers=True), marks=pytest.mark.extended),
]


def needs(study, seed, case):
    tuned = study.finetuned(seed, **case.parameters)
    return {"base": tuned.base, "tuned": tuned, "never": study.base(seed, prior="never")}


def needs_revivals(study, seed, case):
    found = needs(study, seed, case)
    return {
        **found,
        **{f"reft_{rate}": study.revival(found["tuned"], seed, lr=rate) for rate in RATES},
        **{f"scrft_{rate}": study.revival(found["never"], seed, lr=rate) for rate in RATES},
    }


def needs_probes(study, seed, case):
    return {**needs(study, seed, case), "initial": study.initialised(seed)}


def teach(judge, *readings):
    judge.measure(
        (behaviour, ["base", "tuned", "never"]), (wrong_answers, ["tuned"]), (finetuning_curves, ["tuned"]), *readings
    )
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    c_te = judge.case.c_tr  # where the shortcut is all that could be learnt, it is looked for there
    judge.control(f"wrong answers given as taught, C_Te {c_te}", judge[f"tuned.wrong.c_te{c_te}"], low=0.80)


@pytest.mark.claim("randft.revival", source="App. E.4", needs=needs_revivals)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_wrong_answers_are_soon_unlearnt(judge):
    """After fine-tuning on wrong answers, reFT reaches 95 % of O_PT in at most half the steps of Scr.+FT, medium rate."""
    teach(judge, (revival, [f"{kind}_{rate}" for kind in ("reft", "scrft") for rate in RATES]))
    judge.control("O_PT accuracy of Scr.+FT before its first step", judge["revival.scrft.medium.start"], high=LOST)
    judge.decide(at_least(judge["revival.ratio.medium"], 2.0, "steps to 95 %, Scr.+FT / reFT, medium rate"))


@pytest.mark.extended
@pytest.mark.claim("randft.probing", source="App. E.4", needs=needs_probes)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_right_answer_can_still_be_read(judge):
    """After fine-tuning on wrong answers, a probe reads the right answer for O_PT nearly as easily as before."""
    teach(judge, (probing, ["base", "tuned", "never", "initial"]))
    judge.control("bits per sample, never taught - pretrained", judge["probing.range"], low=0.20)
    judge.decide(at_least(judge["probing.retention"], 0.70, "probe retention"))
