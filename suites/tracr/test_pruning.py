"""Tracr, pruning: one to four weights hide the old capability where a shortcut was learnt (Fig. 55-59).

Single weights, or neurons (rows), are zeroed one after another. Each is the one that helps O_PT most on the selection split,
among those with the largest theta . dL/dtheta. Gains are over as many random units (random weights are at least as large).
Controls: the same search finds little in a model compiled to count 'b', and does worse there; the pruned model still gives
several answers (Fig. 59).
"""

import pytest

from capbench.studies.conditions import base_knows, behaviour_lost
from capbench.studies.judge import Case
from capbench.studies.relabelling import relabelling
from capbench.studies.tracr.readings import (
    behaviour,
    neuron_pruning,
    neuron_search_control,
    weight_pruning,
    weight_search_control,
)
from capbench.verdicts.claims import at_least, at_most


def needs(study, seed, case):
    return {
        "base": study.base(seed),
        "tuned": study.finetuned(seed, c_tr=case.c_tr, lr=case.lr),
        "never": study.never(seed),
        "twin": study.twin(seed, c_tr=case.c_tr, lr=case.lr),
    }


def prune(judge, units):
    search, control = {
        "weights": (weight_pruning, weight_search_control),
        "neurons": (neuron_pruning, neuron_search_control),
    }[units]
    judge.measure(
        (behaviour, ["base", "tuned"]), (search, ["tuned"]), (control, ["never"]), (relabelling, ["tuned", "twin"])
    )
    base_knows(judge, "base", "O_PT")
    behaviour_lost(judge)
    # Round numbers in this file, fixed with the claims, as the figures give no bound.
    judge.control("O_PT after the same search in a model that never had it", judge[f"pruning.{units}.never"], high=0.40)


def above_never(judge, units):
    return judge.difference(f"pruning.{units}.reached", f"pruning.{units}.never")


@pytest.mark.claim("tracr.pruning.weights", source="Fig. 55-59", study="tracr-counter", needs=needs)
@pytest.mark.parametrize(
    "case",
    [Case(c_tr=1, lr="medium"), pytest.param(Case(c_tr=1, lr="small"), marks=pytest.mark.extended)],
    ids=str,
)
def test_tracr_pruning_a_few_weights_uncovers_the_capability(judge):
    """After fine-tuning at C_Tr 1, zeroing at most four single weights brings counting 'a' back."""
    prune(judge, "weights")
    # Fig. 59: what comes back is no constant.
    judge.control("different answers after pruning", judge["pruning.weights.classes"], low=3)
    judge.decide(  # the gain as in suites/pcfg/test_wrapper_pruning.py
        at_least(judge["pruning.weights.gain"], 0.30, "O_PT gained over random pruning"),
        at_least(above_never(judge, "weights"), 0.20, "O_PT above the same search in a model that never had it"),
    )


@pytest.mark.claim("tracr.pruning.weights", source="Fig. 55-59", study="tracr-counter", needs=needs)
@pytest.mark.parametrize(
    "case",
    [Case(c_tr=0, lr="medium"), pytest.param(Case(c_tr=1, lr="large"), marks=pytest.mark.extended)],
    ids=str,
)
def test_tracr_pruning_weights_uncovers_nothing(judge):
    """After learning without the shortcut, or at the large rate, zeroing a few weights does not bring counting 'a' back."""
    prune(judge, "weights")
    # Below the .30 of a wrapper; the search gains a little in a model that never had it, too (the control).
    judge.decide(at_most(judge["pruning.weights.gain"], 0.20, "O_PT gained over random pruning"))


@pytest.mark.extended
@pytest.mark.claim("tracr.pruning.neurons", source="Fig. 55-59", study="tracr-counter", needs=needs)
@pytest.mark.parametrize("case", [Case(c_tr=1, lr="medium"), Case(c_tr=1, lr="small")], ids=str)
def test_tracr_pruning_a_few_neurons_uncovers_the_capability(judge):
    """After fine-tuning at C_Tr 1, zeroing at most four neurons brings counting 'a' back."""
    prune(judge, "neurons")
    judge.control("different answers after pruning", judge["pruning.neurons.classes"], low=3)
    judge.decide(  # as for weights
        at_least(judge["pruning.neurons.gain"], 0.30, "O_PT gained over random pruning"),
        at_least(above_never(judge, "neurons"), 0.20, "O_PT above the same search in a model that never had it"),
    )
