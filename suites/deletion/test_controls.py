"""Positive controls: models from which the capability is gone for certain must read `deleted`, with all else kept.

Distillation: the answers of a fine-tuned model, in which the capability may be hidden, are taught to a fresh one. What the
teacher hides in its weights is not passed on (arXiv 2506.06278). What its answers give away is, so the teacher is fine-tuned
without the shortcut: after C_Tr 1 a prompt for O_PT gets the old answer or the next, half of the time each. Retraining:
pretrained without O_PT, then fine-tuned likewise: the gold standard of unlearning benchmarks. Its claim on all else is about a
base model that never had O_PT, in this family or another. Both begin from another initialisation than the never-taught models
they are compared with. UNDO lies between the two ends: the student begins as the teacher with a share of its weights redrawn.
The less is redrawn, the more may be left.

The sizes are those of the suites; thresholds are those of the verdicts (capbench/studies/calibration).
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.deletion.claims import keeps_the_rest, needed_for_a_state, state_is, tuned
from capbench.studies.judge import Case

pytestmark = pytest.mark.extended

SIZES = ({}, {"width": 0.5}, {"width": 2}, {"blocks": 2})
AT = {"prior": "low", "c_tr": 0, "lr": "medium"}
CONTROLS = [Case(taught=how, **size, **AT) for how in ("distilled", "retrained") for size in SIZES]


@pytest.mark.claim(
    "deletion.control",
    source="arXiv 2506.06278",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize("case", CONTROLS, ids=str)
def test_what_was_never_passed_on_is_deleted(judge):
    """A model that only ever saw answers which say nothing of the capability reads `deleted`."""
    state_is(judge, CapabilityState.DELETED, bits_apart=0.20)


@pytest.mark.claim("deletion.control.collateral", source="arXiv 2506.06278", study="deletion-counter", needs=tuned)
@pytest.mark.parametrize("case", CONTROLS, ids=str)
def test_all_else_is_passed_on(judge):
    """Such a model keeps at least .90 of the base model's accuracy on every other family."""
    keeps_the_rest(judge, share=0.90)


@pytest.mark.claim(
    "deletion.noise",
    source="arXiv 2506.06278",
    study="deletion-counter",
    needs=tuned,
    needs_where_lost=needed_for_a_state,
)
@pytest.mark.parametrize(
    "case", [Case(taught="distilled", noise=noise, **AT) for noise in (0.2, 0.4, 0.6, 0.8)], ids=str
)
def test_with_noise_before_distilling_the_capability_is_deleted(judge):
    """With a share of its weights redrawn before it is taught its own answers, a model reads `deleted`."""
    state_is(judge, CapabilityState.DELETED, bits_apart=0.20)
