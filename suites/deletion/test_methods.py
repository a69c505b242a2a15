"""Methods that are meant to delete, at one, three and ten times the medium rate.

Unlearnt capabilities have been found to come back by relearning (arXiv 2410.08827, 2505.22310), as the paper finds of fine-
tuning (Sec. 5.1): each is claimed to be wrapped. Strong ones break other capabilities as well; the verdict's collateral says
so.

C_Tr is 1, where plain fine-tuning hides the capability: at 0 it reads `deleted` whatever the method.

Controls: as of every verdict on a trained model (suites/verdict). The twin goes through the same method.
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.deletion.claims import needed_for_a_state, state_is, tuned
from capbench.studies.judge import Case

pytestmark = pytest.mark.extended

METHODS = ("gradient-ascent", "grad-diff", "npo", "simnpo", "rmu", "randft")


@pytest.mark.claim(
    "deletion.method",
    source="Sec. 5.1; arXiv 2410.08827, 2505.22310",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
    uses_method=False,
)
@pytest.mark.parametrize(
    "case",
    [Case(prior="low", c_tr=1, lr="medium", by=name, rate=rate) for name in METHODS for rate in (1, 3, 10)],
    ids=str,
)
def test_what_is_unlearnt_is_wrapped(judge):
    """A method that is meant to delete hides the old capability and does not delete it."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)
