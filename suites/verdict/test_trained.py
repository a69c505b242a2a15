"""The verdict on trained models: what did fine-tuning do to the old capability? (Sec. 5.1; App. E.2, E.4; Table 5)

Each claim says which state the paper gives a model: `intact`, `wrapped` or `deleted`. The state is that of the report's verdict
on the capability: behaviour first; where that is lost, revival and patching, with the thresholds that the calibration set
(capbench/studies/calibration/thresholds.json). Pruning may object to `deleted`; the probe is reported. Revival is at two rates,
against the fastest of four baselines. Where the behaviour is kept, no tool is asked, and no model is made for one.

The claim is supported if the state over the seeds is the paper's, refuted if it is another one, inconclusive if it is
`undecided`. A method that is meant to do something else refutes it. Its state is in the claim's reason and in the report's table.

Controls: the base model knows what it was taught; the model that was never taught O_PT knows O_FT and not O_PT, and a probe tells
these two apart. None is about the fine-tuned model: whatever a method makes of it has a state.
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import needed_for_a_state, state_is, tuned
from capbench.studies.pcfg.readings import wrong_answers


def claim(source, study="pcfg-counter"):
    return pytest.mark.claim("verdict", source=source, study=study, needs=tuned, needs_where_lost=needed_for_a_state)


@claim("Sec. 5.1, Fig. 5-9, Table 5")
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="low", c_tr=1, lr="medium"),
        Case(prior="low", c_tr=1, lr="small"),
        Case(prior="low", c_tr=0.8, lr="small"),
        Case(prior="low", c_tr=0, lr="medium"),
    ],
    ids=str,
)
def test_under_weak_relevance_the_capability_is_wrapped(judge):
    """Under weak relevance, fine-tuning hides the old capability and does not delete it: it can be read and is soon revived."""
    # Table 5 leaves at most 17.5 % of O_PT here; Fig. 8 and 9 read and revive it at every C_Tr, Fig. 7 prunes at C_Tr near 1.
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)


@claim("Sec. 5.1, Fig. 5, 6, Table 5")
@pytest.mark.parametrize(
    "case",
    [
        Case(prior="high", c_tr=0.8, lr="small"),
        Case(prior="high", c_tr=0, lr="small"),
        Case(prior="high", c_tr=1, lr="small"),
    ],
    ids=str,
)
def test_under_strong_relevance_the_capability_is_intact(judge):
    """Under strong relevance and the small rate, fine-tuning amplifies a capability that was there, and keeps the old one."""
    # Table 5 leaves at least 93 % of O_PT at C_Tr below 1; at C_Tr 1 it leaves 97.6 % at C_Te 0 and 85.1 % at C_Te 1.
    state_is(judge, CapabilityState.INTACT, bits_apart=0.20)


@claim("App. E.4")
@pytest.mark.parametrize("case", [Case(prior="low", c_tr=1, lr="medium", wrong_answers=True)], ids=str)
def test_randft_wraps_the_right_answers(judge):
    """Teaching wrong answers (randFT) deletes the right ones no more than ordinary fine-tuning does: they are wrapped."""
    state_is(judge, CapabilityState.WRAPPED, (wrong_answers, ["tuned"]), bits_apart=0.20)


@claim("App. E.2", study="pcfg-jailbreak")
@pytest.mark.parametrize("case", [Case(prior="high", c_tr=0.5, lr="large", duration=0.7)], ids=str)
def test_what_another_token_gets_round_is_wrapped(judge):
    """Under the fine-tuned token T_NJ of the jailbreak, the old capability is gone from the answers and still in the model."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)
