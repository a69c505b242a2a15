"""Teaching wrong answers (randFT): prompts still ask for O_PT, and the answer given is that for O_FT (App. E.4).

This deletes the capability no more than ordinary fine-tuning does: it is revived as soon, and a probe still reads it.
Controls: the model gives the wrong answers (otherwise it was taught nothing), and those of revival and of probing.
Thresholds are those of test_revival.py and test_wrapper_probing.py.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import probe, probed, revive, revived, revived_sooner, still_readable
from capbench.studies.pcfg.readings import wrong_answers
from capbench.studies.readings import finetuning_curves

CASES = [
    Case(prior="low", c_tr=1, lr="medium", wrong_answers=True),
    pytest.param(Case(prior="low", c_tr=0, lr="medium", wrong_answers=True), marks=pytest.mark.extended),
    pytest.param(Case(prior="high", c_tr=0, lr="medium", wrong_answers=True), marks=pytest.mark.extended),
]
TAUGHT = ((wrong_answers, ["tuned"]), (finetuning_curves, ["tuned"]))


def were_taught(judge):
    """Control: the model gives the wrong answers on texts with the C_Te that it was fine-tuned on."""
    c_te = judge.case.c_tr
    judge.control(f"wrong answers given as taught, C_Te {c_te}", judge[f"tuned.wrong.c_te{c_te}"], low=0.80)


@pytest.mark.claim("randft.revival", source="App. E.4", needs=revived)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_wrong_answers_are_soon_unlearnt(judge):
    """After fine-tuning on wrong answers, reFT reaches 95 % of O_PT in at most half the steps of Scr.+FT, medium rate."""
    revive(judge, *TAUGHT)
    were_taught(judge)
    judge.decide(revived_sooner(judge, ratio=2.0))


@pytest.mark.extended
@pytest.mark.claim("randft.probing", source="App. E.4", needs=probed)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_right_answer_can_still_be_read(judge):
    """After fine-tuning on wrong answers, a probe reads the right answer for O_PT nearly as easily as before."""
    probe(judge, *TAUGHT, bits_apart=0.20)
    were_taught(judge)
    judge.decide(still_readable(judge, retention=0.70))
