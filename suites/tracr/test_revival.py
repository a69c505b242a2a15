"""Tracr, revival: reverse fine-tuning brings counting 'a' back, unless the large rate destroyed it (Fig. 27, 43, Table 4).

Baseline with an equal budget: Scr.+FT, the model compiled to count 'b' and fine-tuned to count 'a'.
Control: that model does not count 'a' before its first step.
"""

import pytest

from capbench.studies.attacks import attacked, readings_of_revival
from capbench.studies.conditions import LOST, base_knows, behaviour_lost
from capbench.studies.judge import Case
from capbench.studies.relabelling import relabelling
from capbench.studies.tracr.readings import behaviour
from capbench.verdicts.claims import at_least, at_most


def needs(study, seed, case):
    tuned, never = study.finetuned(seed, c_tr=case.c_tr, lr=case.lr), study.never(seed)
    twin = study.twin(seed, c_tr=case.c_tr, lr=case.lr)
    return {
        "base": study.base(seed),
        "tuned": tuned,
        "never": never,
        "twin": twin,
        "reft_small": study.revival(tuned, seed, lr="small"),
        "scrft_small": study.revival(never, seed, lr="small"),
        "twin_small": study.revival(twin, seed, lr="small"),
        **attacked(study, seed, {"base": study.base(seed), "reft": tuned, "scrft": never, "twin": twin}),
    }


def revive(judge):
    judge.measure(
        (behaviour, ["base", "tuned", "never"]),
        *readings_of_revival(judge.models),
        (relabelling, ["tuned", "twin"]),
    )
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("O_PT accuracy of Scr.+FT before its first step", judge["revival.scrft.small.start"], high=LOST)


@pytest.mark.claim("tracr.revival", source="Fig. 27, 43, Table 4", study="tracr-counter", needs=needs)
@pytest.mark.parametrize(
    "case",
    [Case(c_tr=1, lr="medium"), pytest.param(Case(c_tr=0.8, lr="medium"), marks=pytest.mark.extended)],
    ids=str,
)
def test_tracr_revival_is_faster_than_learning(judge):
    """After fine-tuning at the medium rate, reFT at the small rate gets to 95 % in at most half the steps of Scr.+FT."""
    revive(judge)
    judge.decide(
        at_least(judge["revival.ratio"], 2.0, "steps to 95 %, Scr.+FT / reFT, small rate"),
        at_least(judge["revival.reft.small.best"], 0.95, "O_PT accuracy reached by reFT"),
    )


@pytest.mark.extended
@pytest.mark.claim("tracr.revival", source="Fig. 27, 43", study="tracr-counter", needs=needs)
@pytest.mark.parametrize("case", [Case(c_tr=0, lr="large"), Case(c_tr=1, lr="large")], ids=str)
def test_tracr_revival_fails_after_the_large_rate(judge):
    """After fine-tuning at the large rate, reFT at the small rate does not bring counting 'a' back."""
    revive(judge)
    judge.decide(at_most(judge["revival.reft.small.best"], 0.50, "O_PT accuracy reached by reFT"))
