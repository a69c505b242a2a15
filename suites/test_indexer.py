"""The Indexer: the Counter's claims hold for a task of another kind (Fig. 61, 69, 80, 91).

Fine-tuned from the place of the k-th a to that of the k-th b; spurious correlation: index(b) = index(a) + q. Thresholds and
controls are those of the Counter's suites: relevance, revival, wrapper_pruning, wrapper_probing.
"""

import pytest

from capbench.claims import at_least, at_most
from capbench.judge import Case
from capbench.protocols.conditions import LOST, base_knows, behaviour_lost
from capbench.protocols.pcfg_readings import behaviour, probing, pruning
from capbench.protocols.shared_readings import finetuning_curves, revival

pytestmark = pytest.mark.extended
RATES = ("medium", "small")
CASES = [Case(prior="low", c_tr=1, lr="medium")]


def needs(study, seed, case):
    tuned = study.finetuned(seed, **case.parameters)
    return {"base": tuned.base, "tuned": tuned}


def needs_probes(study, seed, case):
    never, initial = study.base(seed, prior="never"), study.initialised(seed)
    return {**needs(study, seed, case), "never": never, "initial": initial}


def needs_revivals(study, seed, case):
    found, never = needs(study, seed, case), study.base(seed, prior="never")
    return {
        **found,
        "never": never,
        **{f"reft_{rate}": study.revival(found["tuned"], seed, lr=rate) for rate in RATES},
        **{f"scrft_{rate}": study.revival(never, seed, lr=rate) for rate in RATES},
    }


def needs_both_priors(study, seed, case):
    return {
        f"{name}_{prior}": step
        for prior in ("low", "high")
        for name, step in needs(study, seed, Case(prior=prior, **case.parameters)).items()
    }


@pytest.mark.claim("indexer.shortcut", source="Fig. 61", study="pcfg-indexer", needs=needs)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_indexer_learns_a_shortcut_under_weak_relevance(judge):
    """Under weak relevance and C_Tr 1 the fine-tuned Indexer is right on O_FT only where the correlation holds."""
    judge.measure((behaviour, ["base", "tuned"]), (finetuning_curves, ["tuned"]))
    base_knows(judge, "base", "O_PT")
    judge.decide(
        at_most(judge["tuned.O_FT.c_te0"], 0.20, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_FT.c_te1"], 0.90, "O_FT accuracy at C_Te 1"),
    )


@pytest.mark.claim("indexer.amplification", source="Fig. 61", study="pcfg-indexer", needs=needs_both_priors)
@pytest.mark.parametrize("case", [Case(c_tr=0.8, lr="small")], ids=str)
def test_indexer_is_amplified_under_strong_relevance(judge):
    """At C_Tr .8 and the small rate, a high prior of O_FT keeps O_PT and gains O_FT where a low prior does not."""
    judge.measure((behaviour, ["base_low", "tuned_low", "base_high", "tuned_high"]))
    base_knows(judge, "base_low", "O_PT")
    base_knows(judge, "base_high", "O_PT", "O_FT")
    judge.decide(*(at_least(_difference(judge, o), 0.30, f"{o} accuracy, high - low prior") for o in ("O_FT", "O_PT")))


def _difference(judge, operand):
    high, low = (judge[f"tuned_{prior}.{operand}.c_te0"] for prior in ("high", "low"))
    return [h - w for h, w in zip(high, low, strict=True)]


@pytest.mark.claim("indexer.pruning", source="Fig. 80", study="pcfg-indexer", needs=needs)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_pruning_uncovers_the_indexer(judge):
    """Under weak relevance and C_Tr 1, pruning at most 15 neurons brings O_PT back and costs O_FT accuracy."""
    judge.measure((behaviour, ["base", "tuned"]), (pruning, ["tuned"]))
    base_knows(judge, "base", "O_PT")
    behaviour_lost(judge)
    judge.control("O_PT accuracy lost to as many random neurons", judge["pruning.random_loss"], low=-0.15, high=0.15)
    judge.control("different answers after pruning", judge["pruning.classes"], low=2)
    judge.decide(
        at_least(judge["pruning.gain"], 0.30, "O_PT gained over random pruning"),
        at_least(judge["pruning.cost"], 0.20, "O_FT (C_Te 1) lost to pruning"),
    )


@pytest.mark.claim("indexer.probing", source="Fig. 91", study="pcfg-indexer", needs=needs_probes)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_index_can_still_be_read(judge):
    """After fine-tuning took the behaviour away, a probe reads the place of the k-th a nearly as easily as before."""
    judge.measure((behaviour, ["base", "tuned", "never"]), (probing, ["base", "tuned", "never", "initial"]))
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("bits per sample, never taught - pretrained", judge["probing.range"], low=0.20)
    judge.decide(at_least(judge["probing.retention"], 0.70, "probe retention"))


@pytest.mark.claim("indexer.revival", source="Fig. 69", study="pcfg-indexer", needs=needs_revivals)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_indexer_is_revived_faster_than_learnt(judge):
    """reFT reaches 95 % in at most half the steps of Scr.+FT at the medium rate, and gets there at the small rate too."""
    curves = [f"{kind}_{rate}" for kind in ("reft", "scrft") for rate in RATES]
    judge.measure((behaviour, ["base", "tuned", "never"]), (revival, curves))
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("O_PT accuracy of Scr.+FT before its first step", judge["revival.scrft.medium.start"], high=LOST)
    judge.decide(
        at_least(judge["revival.ratio.medium"], 2.0, "steps to 95 %, Scr.+FT / reFT, medium rate"),
        at_least(judge["revival.reft.small.best"], 0.95, "O_PT accuracy reached by reFT, small rate"),
    )
