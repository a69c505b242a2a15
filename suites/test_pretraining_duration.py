"""Pretraining for half as long: what fine-tuning does does not hang on how long the model was pretrained (Fig. 62-66, 78).

The paper compares 10K, 50K, 100K and 200K iterations. Here the duration is a share of the scale's own; the other suites have
the full one. Baselines are pretrained for as long. Controls: as in suites/test_relevance.py and suites/test_revival.py.
"""

import pytest

from capbench.claims import at_least, at_most
from capbench.judge import Case
from capbench.protocols.conditions import LOST, base_knows, behaviour_lost
from capbench.protocols.pcfg_readings import behaviour
from capbench.protocols.shared_readings import finetuning_curves, revival

pytestmark = pytest.mark.extended
CASES = [Case(prior="low", c_tr=1, lr="medium", duration=0.5)]


def needs(study, seed, case):
    tuned = study.finetuned(seed, **case.parameters)
    return {"base": tuned.base, "tuned": tuned}


def needs_revivals(study, seed, case):
    found = needs(study, seed, case)
    never = study.base(seed, prior="never", duration=case.duration)
    return {
        **found,
        "never": never,
        "reft_medium": study.revival(found["tuned"], seed, lr="medium"),
        "scrft_medium": study.revival(never, seed, lr="medium"),
    }


@pytest.mark.claim("duration.shortcut", source="Fig. 62-66", needs=needs)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_briefly_pretrained_model_learns_the_shortcut_too(judge):
    """After half the pretraining, weak relevance and C_Tr 1 still give a shortcut: O_FT right only with the correlation."""
    judge.measure((behaviour, ["base", "tuned"]), (finetuning_curves, ["tuned"]))
    base_knows(judge, "base", "O_PT")
    judge.decide(
        at_most(judge["tuned.O_FT.c_te0"], 0.20, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_FT.c_te1"], 0.90, "O_FT accuracy at C_Te 1"),
    )


@pytest.mark.claim("duration.revival", source="Fig. 78", needs=needs_revivals)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_briefly_pretrained_capability_is_revived_too(judge):
    """After half the pretraining, reFT reaches 95 % in at most half the steps of an equally pretrained Scr.+FT."""
    judge.measure((behaviour, ["base", "tuned", "never"]), (revival, ["reft_medium", "scrft_medium"]))
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("O_PT accuracy of Scr.+FT before its first step", judge["revival.scrft.medium.start"], high=LOST)
    judge.decide(at_least(judge["revival.ratio.medium"], 2.0, "steps to 95 %, Scr.+FT / reFT, medium rate"))
