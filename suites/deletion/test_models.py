"""Models: narrower and wider, deeper, pretrained for shorter and longer (the paper's open question 2).

The paper has one size, and four lengths of pretraining (App. E, Fig. 62-66). Each model is claimed to wrap.

Controls: as of every verdict on a trained model (suites/verdict). A model that is too small, or was pretrained for too short
a time, to know O_PT makes the claim invalid.
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.deletion.claims import needed_for_a_state, state_is, tuned
from capbench.studies.judge import Case

pytestmark = pytest.mark.extended

AT = {"prior": "low", "lr": "medium"}


@pytest.mark.claim(
    "deletion.size",
    source="Sec. 5.1",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case",
    [Case(c_tr=c_tr, **size, **AT) for c_tr in (1, 0) for size in ({"width": 0.5}, {"width": 2}, {"blocks": 2})],
    ids=str,
)
def test_models_of_other_sizes_wrap(judge):
    """Half and twice as wide, and two blocks deeper, a model hides the old capability and does not delete it."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)


@pytest.mark.claim(
    "deletion.pretraining",
    source="App. E, Fig. 62-66",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case", [Case(c_tr=c_tr, duration=duration, **AT) for c_tr in (1, 0) for duration in (0.5, 2)], ids=str
)
def test_however_long_pretraining_was_the_capability_is_wrapped(judge):
    """After half and twice as much pretraining, fine-tuning hides the old capability and does not delete it."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)
