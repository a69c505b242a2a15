"""Do the claims hold beyond the paper's tasks? Each is tried on variants that Hypothesis draws (not in the paper).

Hypothesis draws families, windows, operands, priors, offsets, grammars, prompts and sizes of models. A small model is trained for
each variant. The result is the share of variants on which the claim holds, with Wilson's interval. A variant is invalid, and not
counted, if its base model does not reach .95 within its steps, if most of its answers are the same, or if a control fails.
Where the claim is refuted, the simplest refuting variant is searched for, and the report has a command that tries it again.
The last claim is tried on the paper's own Counter, under conditions of fine-tuning that are drawn: is the capability ever
deleted, and the rest kept? Its base models are those that come with the package, so what is told is of these.

Thresholds of the claims are those of suites/pcfg. Revival and probing are compared with the never-taught model alone, so that a
variant costs two pretrainings and not nine.

Runs with --capbench-variants=N or --capbench-extended.
"""

import pytest

from capbench.studies.deletion.claims import needed_for_a_state, not_deleted
from capbench.studies.deletion.claims import tuned as tuned_under_conditions
from capbench.studies.pcfg.claims import (
    amplification,
    balanced,
    probe,
    probed_beside_never_taught,
    revived_before_never_taught,
    revived_beside_never_taught,
    shortcut,
    still_readable,
    tuned,
    tuned_weak_and_strong,
    wrapper_found_by_pruning,
)

SHARE = 0.5  # most of the variants: 10 of 12 are enough, 9 are not
COMMONEST = 0.6  # largest share of the texts that one answer may have: above it, a constant would do


def weak():
    """The strategy. It is a function, so that a run without variants does not load Hypothesis."""
    from capbench.variants.strategies.variants import weak_relevance

    return weak_relevance()


def mixed():
    """As `weak`, at C_Tr .8 and the small rate."""
    from capbench.variants.strategies.variants import some_without_correlation

    return some_without_correlation()


def conditions():
    """Of fine-tuning on the paper's Counter."""
    from capbench.variants.strategies import conditions

    return conditions()


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


@pytest.mark.variants(strategy=weak)
@pytest.mark.claim("variants.revival", source="Sec. 5.1, Fig. 9", needs=revived_beside_never_taught)
def test_revival_is_sooner_on_variants(variants):
    """Under weak relevance and C_Tr 1, reFT needs at most half the steps of a model that was never taught, on most variants."""

    def claim(judge):
        revived_before_never_taught(balanced(judge, commonest=COMMONEST), ratio=2)

    variants.decide(claim, share=SHARE)


@pytest.mark.variants(strategy=weak)
@pytest.mark.claim("variants.probing", source="Sec. 5.1, Fig. 8", needs=probed_beside_never_taught)
def test_a_probe_still_reads_the_capability_on_variants(variants):
    """Under weak relevance and C_Tr 1, a probe still reads the lost answer, on most variants."""

    def claim(judge):
        probe(balanced(judge, commonest=COMMONEST), bits_apart=0.20)
        judge.decide(still_readable(judge, retention=0.70))

    variants.decide(claim, share=SHARE)


@pytest.mark.variants(strategy=mixed)
@pytest.mark.claim("variants.relevance", source="Sec. 5.1, Fig. 5, 6, Table 5", needs=tuned_weak_and_strong)
def test_strong_relevance_amplifies_on_variants(variants):
    """At C_Tr .8 and the small rate, a model that knows O_FT well gains O_FT and keeps O_PT, on most variants."""

    def claim(judge):
        amplification(balanced(judge, commonest=COMMONEST), o_ft_gain=0.30, o_pt_gain=0.30)

    variants.decide(claim, share=SHARE)


@pytest.mark.variants(strategy=conditions)
@pytest.mark.claim(
    "variants.deletion",
    source="Sec. 5.1, Fig. 9",
    study="deletion-counter",
    needs=tuned_under_conditions,
    needs_where_lost=needed_for_a_state,
)
def test_most_conditions_do_not_delete(variants):
    """Under most conditions of fine-tuning, the old capability stays, hides or breaks with all else: it is not deleted alone."""

    def claim(judge):
        not_deleted(judge, bits_apart=0.20)

    variants.decide(claim, share=SHARE)
