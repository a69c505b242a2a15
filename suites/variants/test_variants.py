"""Do the claims hold beyond the paper's tasks? Each is tried on variants that Hypothesis draws (not in the paper).

Drawn are families, windows, operands, priors, offsets, grammars, prompts, and sizes of models; a small model is trained for
each. The result is the share of variants on which the claim holds, with Wilson's interval. A variant whose base model does not
reach .95 within its steps, whose answers are mostly one and the same, or on which a control fails, is invalid and not counted.
Where the claim is refuted, the simplest such variant is looked for; the report has a line that tries it again.

Runs with --capbench-variants=N or --capbench-extended.
"""

import pytest

from capbench.studies.pcfg.claims import balanced, shortcut, tuned, wrapper_found_by_pruning

SHARE = 0.5  # most of the variants: 10 of 12 are enough, 9 are not


def weak():
    """The strategy, asked for where variants are: a run without them does not load Hypothesis."""
    from capbench.variants.strategies.variants import weak_relevance

    return weak_relevance()


@pytest.mark.variants(strategy=weak)
@pytest.mark.claim("variants.shortcut", source="Sec. 5.1, Fig. 5", needs=tuned)
def test_weak_relevance_learns_a_shortcut_on_variants(variants):
    """Under weak relevance and C_Tr 1 a fine-tuned model is right on O_FT only where the correlation holds, on most variants."""
    variants.decide(lambda judge: shortcut(balanced(judge)), share=SHARE)


@pytest.mark.variants(strategy=weak)
@pytest.mark.claim("variants.pruning", source="Sec. 5.1, Fig. 7", needs=tuned)
def test_pruning_uncovers_the_capability_on_variants(variants):
    """Under weak relevance and C_Tr 1, pruning at most 15 neurons brings O_PT back and costs O_FT, on most variants."""
    variants.decide(lambda judge: wrapper_found_by_pruning(balanced(judge)), share=SHARE)
