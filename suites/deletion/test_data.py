"""Data: a share of pretraining texts among those of fine-tuning, a further task after the first, other priors of the operand.

The paper mixes in pretraining data (App. E.1), and finds that with a high prior the capability is kept (Fig. 5). So with
pretraining texts among them the capability is claimed to be intact; between the priors, and after a further task, which the
paper does not try, to be wrapped.

Controls: as of every verdict on a trained model (suites/verdict).
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.deletion.claims import needed_for_a_state, state_is, tuned
from capbench.studies.judge import Case

pytestmark = pytest.mark.extended


@pytest.mark.claim(
    "deletion.mixing",
    source="App. E.1",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case", [Case(prior="low", c_tr=1, lr="medium", mixing=mixing) for mixing in (0.05, 0.2, 0.5)], ids=str
)
def test_with_pretraining_texts_among_them_the_capability_is_intact(judge):
    """With pretraining texts among those of fine-tuning, the old capability stays as it was."""
    state_is(judge, CapabilityState.INTACT, bits_apart=0.20)


@pytest.mark.claim(
    "deletion.sequence",
    source="Sec. 5.1",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize("case", [Case(prior="low", c_tr=c_tr, lr="medium", then="c") for c_tr in (1, 0)], ids=str)
def test_a_further_task_leaves_the_capability_wrapped(judge):
    """Fine-tuned to a second operand and then to a third, the old capability is hidden and not deleted."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)


@pytest.mark.claim(
    "deletion.prior",
    source="Sec. 5.1, Fig. 5, Table 5",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize("case", [Case(prior=prior, c_tr=0, lr="medium") for prior in ("0.99", "0.9", "0.7")], ids=str)
def test_between_the_priors_the_capability_is_wrapped(judge):
    """Under priors between the weak and the strong one, what fine-tuning takes from the answers is hidden and not deleted."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)
