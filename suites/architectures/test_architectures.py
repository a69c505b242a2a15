"""Architectures: does a wrapper form without attention? (The paper's open question 2; its models are GPTs.)

The core claims on the Counter, with the GPT's tasks, sizes, budgets and thresholds. Only what mixes tokens differs: recurrence
(LSTM, GRU), gated convolution, a selective state space, linear attention. A claim that holds for all is not about attention. A
Llama of transformers differs from the GPT in all but attention. It needs the extra `hf`; without it, its claims are invalid.

Attention maps are left out, as only the GPT has them. The thresholds of the verdict's tools were set on GPTs. They were tried on
known models of each architecture (test_known_states.py): revival separates these with an area of .96 or more, but on the GRU
with .92. So there verdicts are `uncalibrated`, and the claim on revival is invalid. The claim on the probe is so on the GRU and
the GPT (.92, .93). Never-taught models of other seeds, which show how far the zero of a scale spreads, are made for the GPT only.

Control: each architecture's base models know what they were taught.
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.judge import Case
from capbench.studies.pcfg.claims import (
    amplification,
    needed_for_a_state,
    probe,
    probed,
    revive,
    revived,
    revived_sooner,
    shortcut,
    state_is,
    still_readable,
    tuned,
    tuned_both_priors,
    wrapper_found_by_pruning,
)

pytestmark = pytest.mark.extended


ARCHITECTURES = ("gpt", "llama", "lstm", "gru", "convolution", "state-space", "linear-attention")


def on_each(*cases):
    """Each case on each architecture."""
    every = [Case(architecture=name, **case) for name in ARCHITECTURES for case in cases]
    return pytest.mark.parametrize("case", every, ids=str)


WRAPPED = {"prior": "low", "c_tr": 1, "lr": "medium"}
REWRITTEN = {"prior": "low", "c_tr": 0, "lr": "medium"}


@pytest.mark.claim("architectures.shortcut", source="Sec. 5.1, Fig. 5, Table 5", needs=tuned)
@on_each(WRAPPED)
def test_architecture_learns_a_shortcut(judge):
    """Under weak relevance and C_Tr 1, the fine-tuned model is right on O_FT only where the correlation holds."""
    shortcut(judge, o_ft_without_correlation=0.20, o_ft_with_correlation=0.90)


@pytest.mark.claim("architectures.pruning", source="Sec. 5.1, Fig. 7", needs=tuned)
@on_each(WRAPPED)
def test_architecture_has_few_neurons_that_suppress(judge):
    """Under weak relevance and high C_Tr, pruning at most 15 neurons brings O_PT back and costs O_FT accuracy."""
    wrapper_found_by_pruning(judge, o_pt_gain=0.30, o_ft_cost=0.20, random_loss=0.15, answers=2)


@pytest.mark.claim("architectures.probing", source="Sec. 5.1, Fig. 8", needs=probed)
@on_each(WRAPPED)
def test_architecture_can_still_be_read(judge):
    """After fine-tuning took the behaviour away, a probe reads the answer for O_PT nearly as easily as before."""
    probe(judge, bits_apart=0.20)
    judge.decide(still_readable(judge, retention=0.70))


def revived_at_the_medium_rate(study, seed, case):
    return revived(study, seed, case, rates=["medium"])


@pytest.mark.claim("architectures.revival", source="Sec. 5.1, Fig. 9", needs=revived_at_the_medium_rate)
@on_each(WRAPPED)
def test_architecture_is_revived_sooner(judge):
    """reFT reaches 95 % in at most half the steps of Scr.+FT at the medium rate."""
    revive(judge)
    judge.decide(revived_sooner(judge, ratio=2.0))


@pytest.mark.claim(
    "architectures.verdict", source="Sec. 5.1, Fig. 5-9", needs=tuned, needs_where_lost=needed_for_a_state
)
@on_each(WRAPPED, REWRITTEN)
def test_architecture_wraps_the_capability(judge):
    """Under weak relevance, fine-tuning hides the old capability and does not delete it: it can be read and is soon revived."""
    state_is(judge, CapabilityState.WRAPPED, bits_apart=0.20)


@pytest.mark.claim("architectures.amplification", source="Sec. 5.1, Fig. 5, 6, Table 5", needs=tuned_both_priors)
@on_each({"c_tr": 0.8, "lr": "small"})
def test_architecture_amplifies_what_is_relevant(judge):
    """At C_Tr .8 and the small rate, a high prior of O_FT keeps O_PT and gains O_FT where a low prior does not."""
    amplification(judge, o_ft_gain=0.30, o_pt_gain=0.30)
