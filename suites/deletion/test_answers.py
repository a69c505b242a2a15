"""Contradictory answers: does teaching what contradicts the old capability delete it? (The paper's open question 2.)

Wrong answers to the very prompts (randFT) on texts without the spurious correlation; answers of other texts, from which
nothing can be learnt but how common each is; the same answer to every text. The paper finds the capability wrapped after
randFT (App. E.4): each is claimed to be wrapped.

Controls: as of every verdict on a trained model (suites/verdict).
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.deletion.claims import needed_for_a_state, state_is, tuned
from capbench.studies.judge import Case

pytestmark = pytest.mark.extended


@pytest.mark.claim(
    "deletion.answers",
    source="App. E.4",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="low", c_tr=0, lr="medium", wrong_answers=True),
        Case(prior="low", c_tr=0, lr="medium", answers="random"),
        Case(prior="low", c_tr=0, lr="medium", answers="constant"),
    ],
    ids=str,
)
def test_contradicted_answers_are_wrapped(judge):
    """Answers that contradict the old capability hide it and do not delete it."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)
