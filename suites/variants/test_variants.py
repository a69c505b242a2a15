"""Do the claims hold beyond the paper's tasks? Each is tried on variants that Hypothesis draws (not in the paper).

Hypothesis draws families, windows, operands, priors, offsets, grammars, prompts and sizes of models. A small model is trained for
each variant. The result is the share of variants on which the claim holds, with Wilson's interval. A variant is invalid, and not
counted, if its base model does not reach .95 within its steps, if most of its answers are the same, or if a control fails.
Where the claim is refuted, the simplest refuting variant is searched for, and the report has a command that tries it again.
Thresholds of the claims are those of suites/pcfg: test_relevance.py and test_wrapper_pruning.py.

Runs with --capbench-variants=N or --capbench-extended.
"""

import pytest

from capbench.studies.pcfg.claims import balanced, shortcut, tuned, wrapper_found_by_pruning

SHARE = 0.5  # most of the variants: 10 of 12 are enough, 9 are not
COMMONEST = 0.6  # largest share of the texts that one answer may have: above it, a constant would do


def weak():
    """The strategy. It is a function, so that a run without variants does not load Hypothesis."""
    from capbench.variants.strategies.variants import weak_relevance

    return weak_relevance()


@pytest.mark.variants(strategy=weak)
@pytest.mark.claim("variants.shortcut", source="Sec. 5.1, Fig. 5", needs=tuned)
def test_weak_relevance_learns_a_shortcut_on_variants(variants):
    """Under weak relevance and C_Tr 1, a fine-tuned model is right on O_FT only where the correlation holds, on most variants."""

    def claim(judge):
        shortcut(balanced(judge, commonest=COMMONEST), o_ft_without_correlation=0.20, o_ft_with_correlation=0.90)

    variants.decide(claim, share=SHARE)


@pytest.mark.variants(strategy=weak)
@pytest.mark.claim("variants.pruning", source="Sec. 5.1, Fig. 7", needs=tuned)
def test_pruning_uncovers_the_capability_on_variants(variants):
    """Under weak relevance and C_Tr 1, pruning at most 15 neurons brings O_PT back and costs O_FT, on most variants."""

    def claim(judge):
        judge = balanced(judge, commonest=COMMONEST)
        wrapper_found_by_pruning(judge, o_pt_gain=0.30, o_ft_cost=0.20, random_loss=0.15, answers=2)

    variants.decide(claim, share=SHARE)
