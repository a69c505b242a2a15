"""Strength: rates over four decades up to divergence, up to thirty times the steps, and weight decay.

At the paper's own rates and durations the capability is wrapped (Sec. 5.1, Fig. 9); whether extreme rates or long fine-tuning
delete it is its open question 2. Each is claimed to leave it wrapped; where that does not hold, the claim is refuted and says
what the state is. The largest rates break the model: then the claim is about a destroyed one, and refuted or invalid.

Controls: as of every verdict on a trained model (suites/verdict).
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.deletion.claims import needed_for_a_state, state_is, tuned
from capbench.studies.judge import Case

pytestmark = pytest.mark.extended

AT = {"prior": "low", "lr": "medium"}


@pytest.mark.claim(
    "deletion.rate",
    source="Sec. 5.1, Fig. 9",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case", [Case(c_tr=c_tr, rate=rate, **AT) for c_tr in (1, 0) for rate in (0.1, 1, 10, 100)], ids=str
)
def test_at_any_rate_the_capability_is_wrapped(judge):
    """At rates from a tenth to a hundred times the medium one, fine-tuning hides the old capability and does not delete it."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)


@pytest.mark.claim(
    "deletion.duration",
    source="Sec. 5.1, Fig. 9",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case", [Case(c_tr=c_tr, times=times, **AT) for c_tr in (1, 0) for times in (3, 10, 30)], ids=str
)
def test_however_long_the_capability_is_wrapped(judge):
    """After three to thirty times as many steps, the old capability is still hidden and not deleted."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)


@pytest.mark.claim(
    "deletion.decay",
    source="Sec. 5.1",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case", [Case(c_tr=c_tr, decay=decay, **AT) for c_tr in (1, 0) for decay in (0.0, 10.0)], ids=str
)
def test_weight_decay_leaves_the_capability_wrapped(judge):
    """Without weight decay, and with a hundred times as much, the old capability is hidden and not deleted."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)
