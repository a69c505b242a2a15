"""Probing: after deletion, a twist is still seen in a story that has one (Sec. 5.2, App. F).

A probe reads the mean of the residual stream over the last ten positions of a story. Scale of its code length: 0 is a model that
never saw a twist, after the same deletion, 1 is the pretrained model.
Controls: these two must lie apart; the base model tells twists, the model after deletion hardly does.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.stories.claims import probed, still_readable

pytestmark = pytest.mark.extended  # minutes a seed


@pytest.mark.claim("stories.probing", source="Sec. 5.2, App. F", study="stories", needs=probed)
@pytest.mark.parametrize(
    "case", [Case(protocol="mix-match", lr="medium"), Case(protocol="randomisation", lr="medium")], ids=str
)
def test_the_event_can_still_be_read(judge):
    """After deletion, a probe reads off the end of a story nearly as easily as before whether it had a twist."""
    still_readable(judge, retention=0.70, bits_apart=0.10)
