"""The claims that are made of several PCFG tasks: each with its models, its controls and its thresholds, in one place.

A suite names the study, the case and the source; the numbers are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capbench.pipeline.steps import Step
from capbench.results import Verdict
from capbench.studies.conditions import LOST, base_knows, behaviour_lost
from capbench.studies.judge import Case, Judge
from capbench.studies.lab import Reading
from capbench.studies.pcfg.readings import behaviour, class_balance, probing, pruning
from capbench.studies.readings import finetuning_curves
from capbench.studies.readings import revival as revival_curves
from capbench.verdicts.claims import at_least, at_most

RATES = ("medium", "small")  # of reviving
COMMONEST = 0.6  # share of the texts that one answer may have for a claim on a variant
Models = Mapping[str, Step]
Asked = tuple[Reading, Sequence[str]]  # a reading and the names of the models that it is given

# The models of a claim: (study, seed, case) -> steps by name


def tuned(study: Any, seed: int, case: Case) -> dict[str, Step]:
    """A fine-tuned model and the one before."""
    found = study.finetuned(seed, **case.parameters)
    return {"base": found.base, "tuned": found}


def tuned_both_priors(study: Any, seed: int, case: Case) -> Models:
    """The same under the low and under the high prior, which the case leaves open."""
    return {
        f"{name}_{prior}": step
        for prior in ("low", "high")
        for name, step in tuned(study, seed, Case(prior=prior, **case.parameters)).items()
    }


def probed(study: Any, seed: int, case: Case) -> Models:
    """A fine-tuned model, and what a probe of it is compared with."""
    controls = {"never": never_taught(study, seed, case), "initial": study.initialised(seed)}
    return {**tuned(study, seed, case), **controls}


def revived(study: Any, seed: int, case: Case, rates: Sequence[str] = RATES) -> Models:
    """A fine-tuned model, its reFT and its Scr.+FT baseline at each rate."""
    found, never = tuned(study, seed, case), never_taught(study, seed, case)
    return {
        **found,
        "never": never,
        **{f"reft_{rate}": study.revival(found["tuned"], seed, lr=rate) for rate in rates},
        **{f"scrft_{rate}": study.revival(never, seed, lr=rate) for rate in rates},
    }


def never_taught(study: Any, seed: int, case: Case) -> Step:
    """The model that was never taught O_PT, pretrained for as long as the case's base model."""
    step: Step = study.base(seed, prior="never", duration=case.parameters.get("duration", 1))
    return step


# The claims


def balanced(judge: Judge) -> Judge:
    """The judge, if no answer is too common in the fine-tuning data; else the claim is invalid: a constant would be right."""
    judge.measure((class_balance, []))
    largest = max(judge["balance.largest.c_tr1"])
    judge.require(
        largest <= COMMONEST,
        f"one answer has {largest:.2f} of the fine-tuning texts at C_Tr 1, {COMMONEST} is the most: a constant would do",
    )
    return judge


def determined(judge: Judge) -> None:
    """The correlation must give the answer away, or there is no shortcut to be learnt; else the claim is invalid."""
    study: Any = judge.study
    judge.require(
        study.correlation(1.0).determines,
        f"with relation {study.relation!r} the answer for O_FT does not follow from that for O_PT: there is no shortcut",
    )


def shortcut(judge: Judge) -> None:
    """O_FT is right only where the correlation holds (Fig. 5; Table 5: 0.0 and 100 at eta_M, C_Tr 1)."""
    determined(judge)
    judge.measure((behaviour, ["base", "tuned"]), (finetuning_curves, ["tuned"]))
    base_knows(judge, "base", "O_PT")
    judge.decide(
        at_most(judge["tuned.O_FT.c_te0"], 0.20, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_FT.c_te1"], 0.90, "O_FT accuracy at C_Te 1"),
    )


def amplification(judge: Judge) -> None:
    """A high prior of O_FT keeps O_PT and gains O_FT where a low one does not (Fig. 5, 6)."""
    judge.measure((behaviour, ["base_low", "tuned_low", "base_high", "tuned_high"]))
    base_knows(judge, "base_low", "O_PT")
    base_knows(judge, "base_high", "O_PT", "O_FT")
    names = {o: [f"tuned_{prior}.{o}.c_te0" for prior in ("high", "low")] for o in ("O_FT", "O_PT")}
    judge.decide(
        *(at_least(judge.difference(*pair), 0.30, f"{o} accuracy, high - low prior") for o, pair in names.items())
    )


def prune(judge: Judge, *knows: str) -> None:
    """Measure pruning, with its controls; knows: what the base model must answer."""
    judge.measure((behaviour, ["base", "tuned"]), (pruning, ["tuned"]))
    base_knows(judge, "base", *knows)
    behaviour_lost(judge)
    judge.control("O_PT accuracy lost to as many random neurons", judge["pruning.random_loss"], low=-0.15, high=0.15)
    judge.control("different answers after pruning", judge["pruning.classes"], low=2)


def wrapper_found_by_pruning(judge: Judge) -> None:
    """A few neurons hold O_PT back and carry O_FT (Fig. 7)."""
    determined(judge)
    prune(judge, "O_PT")
    judge.decide(
        at_least(judge["pruning.gain"], 0.30, "O_PT gained over random pruning"),
        at_least(judge["pruning.cost"], 0.20, "O_FT (C_Te 1) lost to pruning"),
    )


def probe(judge: Judge, *also: Asked) -> None:
    """Measure probing, with its controls; also: further readings."""
    models = ["base", "tuned", "never"]
    judge.measure((behaviour, models), (probing, [*models, "initial"]), *also)
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("bits per sample, never taught - pretrained", judge["probing.range"], low=0.20)


def still_readable(judge: Judge) -> Verdict:
    """The lost answer can be read off the residual stream nearly as easily as before (Fig. 8)."""
    return at_least(judge["probing.retention"], 0.70, "probe retention")


def revive(judge: Judge, *also: Asked, rates: Sequence[str] = RATES, beside: Sequence[str] = ()) -> None:
    """Measure revival, with its controls; also: further readings. beside: more curves, of Scr. or a retain-only revival."""
    curves = [f"{kind}_{rate}" for kind in ("reft", "scrft") for rate in rates]
    judge.measure((behaviour, ["base", "tuned", "never"]), (revival_curves, [*curves, *beside]), *also)
    base_knows(judge, "base", "O_PT")
    base_knows(judge, "never", "O_FT")
    behaviour_lost(judge)
    judge.control("O_PT accuracy of Scr.+FT before its first step", judge["revival.scrft.medium.start"], high=LOST)


def revived_sooner(judge: Judge) -> Verdict:
    """reFT needs at most half the steps of Scr.+FT at the medium rate (Fig. 9)."""
    return at_least(judge["revival.ratio.medium"], 2.0, "steps to 95 %, Scr.+FT / reFT, medium rate")


def revived_at_the_small_rate(judge: Judge) -> Verdict:
    """reFT gets there at the small rate too, where Scr.+FT does not (Fig. 9, 26)."""
    return at_least(judge["revival.reft.small.best"], 0.95, "O_PT accuracy reached by reFT, small rate")
