"""Revival: reverse fine-tuning brings the capability back in far fewer steps than learning takes (Sec. 5.1, Fig. 9, 26, 28, 29).

The paper's baseline, with an equal budget, is Scr.+FT (pretrained on O_FT only, then fine-tuned on O_PT). Reported beside it are
faster ones: Scr. (random initialisation), a model pretrained on the other operands, and the twin (Scr.+FT after the same
fine-tuning as the model). So is a revival without any O_PT example, trained on the other task families only.
Controls: no untouched baseline has the capability before its first step.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import revive, revived, revived_at_the_small_rate, revived_sooner


def needs(study, seed, case):
    models = revived(study, seed, case)
    return {**models, "retained_medium": study.retain_only_revival(models["tuned"], seed, lr="medium")}


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
    revive(judge)
    judge.decide(  # Fig. 9, 26: reFT succeeds at the small rate, where Scr.+FT does not
        revived_sooner(judge, ratio=2.0),
        revived_at_the_small_rate(judge, o_pt_accuracy=0.95),
    )
