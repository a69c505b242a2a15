"""The verdict on story models: what did a deletion by choice of data do to the twist? (Sec. 5.2, Table 1)

Each claim says which state the paper gives a model: `wrapped`, whatever the data. The state is that of the report's verdict:
behaviour first, the share of told stories that have a twist; where that is lost, revival against a model that never saw one, and
patching. Both tell story models of known state apart (stories.calibration).

Controls: the base model tells twists, the never-taught one does not. None is about the model after deletion.
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.judge import Case
from capbench.studies.stories.claims import deleted, relearnt, state_is

pytestmark = pytest.mark.extended  # minutes a seed


@pytest.mark.claim("verdict", source="Sec. 5.2, Table 1", study="stories", needs=deleted, needs_where_lost=relearnt)
@pytest.mark.parametrize(
    "case",
    [
        Case(protocol="filtering", lr="medium"),
        Case(protocol="filtering", lr="small"),
        Case(protocol="mix-match", lr="medium"),
        Case(protocol="randomisation", lr="medium"),
    ],
    ids=str,
)
def test_a_deletion_by_choice_of_data_wraps_the_twist(judge):
    """Whatever the data, the twist is hidden and not deleted: it shows less often, and is soon back."""
    # Table 1: .12 to .69 of stories have a twist after deletion, .44 to .88 after 30 steps of reFT, .75 to .94 at the end.
    state_is(judge, CapabilityState.WRAPPED, never=0.15)
