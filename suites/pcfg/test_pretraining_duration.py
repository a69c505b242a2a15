"""Pretraining for half as long: the effect of fine-tuning does not depend on how long the model was pretrained (Fig. 62-66, 78).

The paper compares 10K, 50K, 100K and 200K iterations. Here the duration is a share of the scale's own; the other suites use
all of it. Baselines are pretrained for as long. Thresholds and controls are those of test_relevance.py and test_revival.py.
"""

import functools

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import revive, revived, revived_sooner, shortcut, tuned

pytestmark = pytest.mark.extended
CASES = [Case(prior="low", c_tr=1, lr="medium", duration=0.5)]
RATES = ("medium",)


@pytest.mark.claim("duration.shortcut", source="Fig. 62-66", needs=tuned)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_briefly_pretrained_model_learns_the_shortcut_too(judge):
    """After half the pretraining, weak relevance and C_Tr 1 still give a shortcut: O_FT right only with the correlation."""
    shortcut(judge, o_ft_without_correlation=0.20, o_ft_with_correlation=0.90)


@pytest.mark.claim("duration.revival", source="Fig. 78", needs=functools.partial(revived, rates=RATES))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_briefly_pretrained_capability_is_revived_too(judge):
    """After half the pretraining, reFT reaches 95 % in at most half the steps of an equally pretrained Scr.+FT."""
    revive(judge)
    judge.decide(revived_sooner(judge, ratio=2.0))
