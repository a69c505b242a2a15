"""Tracr, activations: does the compiled circuit still compute the old count after fine-tuning? (Def. 1; Fig. 46, 53)

The compiled program computes its count in block 1. A model has a capability if a linear read-out of some layer gives its
answers (Def. 1). So a read-out of the residual stream after that block is fitted on some strings and scored on others.
Scale: 0 is the twin (a model compiled to count 'b', after the same method), 1 is the compiled model. Control: the models compiled
for the one and for the other lie apart.
"""

import pytest

from capbench.studies.conditions import base_knows, behaviour_lost
from capbench.studies.judge import Case
from capbench.studies.relabelling import relabelling
from capbench.studies.tracr.readings import behaviour, circuit
from capbench.verdicts.claims import at_least, at_most


def needs(study, seed, case):
    return {
        "base": study.base(seed),
        "tuned": study.finetuned(seed, c_tr=case.c_tr, lr=case.lr),
        "never": study.never(seed),
        "twin": study.twin(seed, c_tr=case.c_tr, lr=case.lr),
    }


def read(judge):
    judge.measure(
        (behaviour, ["base", "tuned"]), (circuit, ["base", "tuned", "never", "twin"]), (relabelling, ["tuned", "twin"])
    )
    base_knows(judge, "base", "O_PT")
    behaviour_lost(judge)
    judge.control("O_PT read from the compiled model", judge["circuit.base.O_PT"], low=0.90)
    judge.control("O_PT read from a model compiled for O_FT", judge["circuit.never.O_PT"], high=0.50)


@pytest.mark.claim("tracr.circuit", source="Def. 1, Fig. 46, 53", study="tracr-counter", needs=needs)
@pytest.mark.parametrize(
    "case",
    [Case(c_tr=1, lr="medium"), pytest.param(Case(c_tr=1, lr="small"), marks=pytest.mark.extended)],
    ids=str,
)
def test_tracr_circuit_still_counts(judge):
    """After fine-tuning at C_Tr 1, the count of 'a' still stands where the compiled program writes it, but is not answered."""
    read(judge)
    # As the probe's retention (suites/pcfg/test_wrapper_probing.py): nearly as before.
    judge.decide(at_least(judge["circuit.retention"], 0.70, "retention of O_PT in the circuit"))


@pytest.mark.claim("tracr.circuit", source="Def. 1, Fig. 46, 53", study="tracr-counter", needs=needs)
@pytest.mark.parametrize("case", [Case(c_tr=0, lr="medium")], ids=str)
def test_tracr_circuit_is_rewritten(judge):
    """After fine-tuning at C_Tr 0 and the medium rate, the circuit no longer holds the count of 'a'."""
    read(judge)
    # As far from the other end as above.
    judge.decide(at_most(judge["circuit.retention"], 0.30, "retention of O_PT in the circuit"))
