"""The verdict on compiled models: what did fine-tuning do to the circuit of the old count? (Table 3; Fig. 10, 40-48, 55-59)

As in test_trained.py, each claim says which state the paper gives a model. The tools are those of compiled models: circuit and
patching vote; revival, at the small rate, and pruning of single weights may object to `deleted`.
Where the behaviour is kept, no tool is asked, and no model is made for one.

Controls: the compiled model answers O_PT, and its count can be read from its circuit; a model compiled for O_FT answers O_FT, and
the count for O_PT cannot be read from it.
"""

import pytest

from capbench.results import CapabilityState
from capbench.studies.attacks import attacked, readings_of_revival
from capbench.studies.conditions import base_knows
from capbench.studies.judge import Case
from capbench.studies.readings import finetuning_curves
from capbench.studies.relabelling import relabelling
from capbench.studies.tracr.readings import behaviour, circuit, patching, weight_pruning

RATE = "small"  # of revival: the one at which the tool was calibrated


def needs(study, seed, case):
    return {"base": study.base(seed), "tuned": study.finetuned(seed, c_tr=case.c_tr, lr=case.lr)}


def needs_where_lost(study, seed, case):
    tuned, never = study.finetuned(seed, c_tr=case.c_tr, lr=case.lr), study.never(seed)
    twin = study.twin(seed, c_tr=case.c_tr, lr=case.lr)
    return {
        "never": never,
        "twin": twin,
        f"reft_{RATE}": study.revival(tuned, seed, lr=RATE),
        f"scrft_{RATE}": study.revival(never, seed, lr=RATE),
        f"twin_{RATE}": study.revival(twin, seed, lr=RATE),
        **attacked(study, seed, {"base": study.base(seed), "reft": tuned, "scrft": never, "twin": twin}),
    }


def claim(source):
    models = {"needs": needs, "needs_where_lost": needs_where_lost}
    return pytest.mark.claim("verdict", source=source, study="tracr-counter", **models)


def state_is(judge, expected):
    """Ask every tool of the study, check the controls, and decide whether the model is in the expected state."""
    judge.measure(
        (behaviour, ["base", "tuned"]),
        (finetuning_curves, ["tuned"]),
        where_lost=(
            (behaviour, ["never"]),
            *readings_of_revival(judge.models),
            (circuit, ["base", "tuned", "never", "twin"]),
            (weight_pruning, ["tuned"]),
            (relabelling, ["tuned", "twin"]),
            (patching, ["base", "tuned", "never"]),
        ),
    )
    base_knows(judge, "base", "O_PT")
    if judge.lost:
        base_knows(judge, "never", "O_FT")
        judge.control("O_PT read from the compiled model", judge["circuit.base.O_PT"], low=0.90)
        judge.control("O_PT read from a model compiled for O_FT", judge["circuit.never.O_PT"], high=0.50)
    judge.decide_state(expected)


@claim("Table 3, Fig. 10, 55-59")
@pytest.mark.parametrize("case", [Case(c_tr=1, lr="medium")], ids=str)
def test_a_shortcut_wraps_the_compiled_count(judge):
    """At C_Tr 1, the compiled count of 'a' is still used below the new answers: a few weights hide it."""
    state_is(judge, CapabilityState.WRAPPED)


@claim("Table 3, Fig. 40-48, 55-59")
@pytest.mark.parametrize("case", [Case(c_tr=0, lr="medium")], ids=str)
def test_learning_without_a_shortcut_deletes_the_compiled_count(judge):
    """At C_Tr 0 and the medium rate, the circuit is rewritten to count 'b': the count of 'a' is deleted."""
    state_is(judge, CapabilityState.DELETED)
