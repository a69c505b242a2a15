"""Revival: a few steps on stories with a twist bring it back, sooner than a model learns it that never saw one (Table 1).

Table 1: after 30 steps .44 to .88 of stories have a twist where .12 to .69 had. The never-taught model has .31 then,
and .44 after 300.
Controls: the base model tells twists, the model after deletion hardly does, the never-taught one does not.
"""

import pytest

from capbench.studies.judge import Case
from capbench.studies.stories.claims import relearnt, revived_sooner

pytestmark = pytest.mark.extended  # minutes a seed


@pytest.mark.claim("stories.revival", source="Sec. 5.2, Table 1", study="stories", needs=relearnt)
@pytest.mark.parametrize(
    "case", [Case(protocol="mix-match", lr="medium"), Case(protocol="randomisation", lr="medium")], ids=str
)
def test_revival_is_faster_than_learning(judge):
    """reFT tells a twist in three quarters of the stories after at most half the steps of a model that never saw one."""
    revived_sooner(judge, ratio=2.0, never=0.15)  # Table 1: it has .12 before its first step
