"""The wrapper, by probing: the lost capability can still be read off the residual stream (Sec. 5.1, Fig. 8; Fig. 90-98).

Plain probe accuracy cannot tell presence from absence here, because it is high on a random initialisation too. The claim rests on
description length by online coding. Scale: 0 is a model that was never taught O_PT, 1 is the pretrained model.
Control: these two must lie apart, or the scale means nothing.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import probe, probed, still_readable


@pytest.mark.claim("wrapper.probing", source="Sec. 5.1, Fig. 8, 90-98", needs=probed)
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
    probe(judge, bits_apart=0.20)
    judge.decide(still_readable(judge, retention=0.70))  # Fig. 8: nearly as before
