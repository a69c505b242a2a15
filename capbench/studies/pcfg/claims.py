"""The claims that several PCFG suites make: their models, what is measured, their controls and conditions.

The numbers are the suite's: every threshold is a keyword argument without a default, so that it stands in the suite beside its
source. Only the two conditions of `capbench.studies.conditions` have defaults, the same for every claim: `valid` (what a base
model must reach) and `lost` (what the fine-tuned model may still reach).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from capbench.pipeline.steps import Step
from capbench.results import CapabilityState, Verdict
from capbench.studies.attacks import attacked, readings_of_revival
from capbench.studies.conditions import LOST, VALID, base_knows, behaviour_lost
from capbench.studies.judge import Case, Judge
from capbench.studies.lab import ANCHOR, Reading
from capbench.studies.pcfg.readings import (
    behaviour,
    class_balance,
    patching,
    probing,
    pruning,
    pruning_search,
    pruning_search_wide,
    retention,
)
from capbench.studies.readings import finetuning_curves
from capbench.studies.relabelling import relabelling
from capbench.studies.revivals import anchor_revivals
from capbench.verdicts import effects
from capbench.verdicts.claims import at_least, at_most

RATES = ("medium", "small")  # rates of revival, the one at which baselines learn soonest first
Models = Mapping[str, Step]
Asked = tuple[Reading, Sequence[str]]  # a reading and the names of the models that it is given

# The models of a claim: (study, seed, case) -> steps by name


def tuned(study: Any, seed: int, case: Case) -> dict[str, Step]:
    """A base model, and the same model fine-tuned."""
    base = study.base(seed, prior=case.prior, duration=case.parameters.get("duration", 1))
    return {"base": base, "tuned": study.finetuned(seed, **case.parameters)}


def tuned_both_priors(study: Any, seed: int, case: Case) -> Models:
    """Both models under the low and under the high prior, which the case leaves open."""
    return {
        f"{name}_{prior}": step
        for prior in ("low", "high")
        for name, step in tuned(study, seed, Case(prior=prior, **case.parameters)).items()
    }


GRADED = ("low", "0.99", "0.9", "0.7", "high")  # the paper's priors, from weak to strong relevance


def tuned_every_prior(study: Any, seed: int, case: Case) -> Models:
    """Both models under each of the five priors, which the case leaves open."""
    return {
        f"{name}_{i}": step
        for i, prior in enumerate(GRADED)
        for name, step in tuned(study, seed, Case(prior=prior, **case.parameters)).items()
    }


def probed(study: Any, seed: int, case: Case) -> Models:
    """A fine-tuned model, and the models that a probe of it is compared with."""
    found = tuned(study, seed, case)
    controls = {"never": never_taught(study, seed, case), "initial": study.initialised(seed)}
    return {**found, **controls, "twin": twin(study, seed, case), **study.anchors(seed)}


def revived(
    study: Any, seed: int, case: Case, rates: Sequence[str] = RATES, scrft_rates: Sequence[str] | None = None
) -> Models:
    """A fine-tuned model, its reFT at each rate, and baselines: models that never had O_PT, trained on it in the same way.

    Scr.+FT is trained at scrft_rates (None: at each rate), the others at the first of the rates, where they learn soonest.
    """
    found, never = tuned(study, seed, case), never_taught(study, seed, case)
    starts = {
        "scrft": never,
        "others": never_taught(study, seed, case, prior="others"),
        "scr": study.initialised(seed),
        "twin": twin(study, seed, case),
    }
    trained = [("reft", found["tuned"], rate) for rate in rates]
    trained += [("scrft", never, rate) for rate in (rates if scrft_rates is None else scrft_rates)]
    trained += [(kind, start, rates[0]) for kind, start in starts.items() if kind != "scrft"]
    return {
        **found,
        "never": never,
        "others": starts["others"],
        "twin": starts["twin"],
        **study.anchors(seed),
        **anchor_revivals(study, seed, lr=rates[0]),
        **{f"{kind}_{rate}": study.revival(start, seed, lr=rate) for kind, start, rate in trained},
        **attacked(study, seed, {"base": found["base"], "reft": found["tuned"], **starts}),
    }


def revived_beside_never_taught(study: Any, seed: int, case: Case) -> Models:
    """The paper's own comparison alone (Fig. 9): reFT, and Scr.+FT of a model that never had O_PT, at the medium rate.

    Of all baselines this one costs a single pretraining, so that many tasks can be tried.
    """
    found, never = tuned(study, seed, case), never_taught(study, seed, case)
    starts = {"reft": found["tuned"], "scrft": never}
    curves = {f"{kind}_medium": study.revival(start, seed, lr="medium") for kind, start in starts.items()}
    return {**found, "never": never, **curves}


def probed_beside_never_taught(study: Any, seed: int, case: Case) -> Models:
    """As `probed`, without models of other seeds, which show how far its zero spreads: on many tasks they cost too much."""
    found = tuned(study, seed, case)
    controls = {"never": never_taught(study, seed, case), "initial": study.initialised(seed)}
    return {**found, **controls, "twin": twin(study, seed, case)}


STRONG = {
    "prior": 0.5,
    "duration": 1.5,
}  # strong relevance: as much of O_FT as of O_PT, and longer, as the paper's high prior


def tuned_weak_and_strong(study: Any, seed: int, case: Case) -> Models:
    """Both models under the case's prior, and under strong relevance."""
    found = {"low": case, "high": Case(**{**case.parameters, **STRONG})}
    return {f"{name}_{prior}": step for prior, of in found.items() for name, step in tuned(study, seed, of).items()}


def never_taught(study: Any, seed: int, case: Case, *, prior: str = "never") -> Step:
    """The model that was never taught O_PT, pretrained for as long as the case's base model.

    prior: 'never' for one that knows O_FT only, 'others' for one that knows all operands but O_PT.
    """
    step: Step = study.base(seed, prior=prior, duration=case.parameters.get("duration", 1))
    return step


def twin(study: Any, seed: int, case: Case) -> Step:
    """The never-taught model after the same method, on the same case: what the method leaves where there was nothing to lose.

    A method may teach something that helps O_PT along. So the twin, not the untouched model, is the zero of a scale.
    """
    step: Step = study.finetuned(seed, **{**case.parameters, "prior": "never"})
    return step


def needed_for_a_state(study: Any, seed: int, case: Case) -> Models:
    """The models that the tools need which say what became of a capability: see `state_is`."""
    return revived(study, seed, case, scrft_rates=["medium"])


# The claims


def balanced(judge: Judge, *, commonest: float) -> Judge:
    """Return the judge if no answer has more than this share of the fine-tuning texts at C_Tr 1.

    Otherwise a constant answer would do, and the claim is invalid.
    """
    judge.measure((class_balance, []))
    judge.control(
        "share of the fine-tuning texts at C_Tr 1 that have the commonest answer",
        judge["balance.largest.c_tr1"],
        high=commonest,
        otherwise="a constant would do",
    )
    return judge


def determined(judge: Judge) -> None:
    """Require that the answer for O_FT follows from that for O_PT; otherwise there is no shortcut, and the claim is invalid."""
    study: Any = judge.study
    judge.require(
        study.correlation(1.0).determines,
        f"with relation {study.relation!r} the answer for O_FT does not follow from that for O_PT: there is no shortcut",
    )


def shortcut(
    judge: Judge, *, o_ft_without_correlation: float, o_ft_with_correlation: float, valid: float = VALID
) -> None:
    """Claim that O_FT is right only where the correlation holds.

    Accuracy on O_FT is at most the first number at C_Te 0, and at least the second at C_Te 1.
    """
    determined(judge)
    judge.measure((behaviour, ["base", "tuned"]), (finetuning_curves, ["tuned"]))
    base_knows(judge, "base", "O_PT", accuracy=valid)
    judge.decide(
        at_most(judge["tuned.O_FT.c_te0"], o_ft_without_correlation, "O_FT accuracy at C_Te 0"),
        at_least(judge["tuned.O_FT.c_te1"], o_ft_with_correlation, "O_FT accuracy at C_Te 1"),
    )


def amplification(judge: Judge, *, o_ft_gain: float, o_pt_gain: float, valid: float = VALID) -> None:
    """Claim that a high prior of O_FT keeps O_PT and gains O_FT where a low prior does not.

    At C_Te 0, accuracy under the high prior is higher than under the low one by at least these numbers.
    """
    judge.measure((behaviour, ["base_low", "tuned_low", "base_high", "tuned_high"]))
    base_knows(judge, "base_low", "O_PT", accuracy=valid)
    base_knows(judge, "base_high", "O_PT", "O_FT", accuracy=valid)

    def gain(operand: str) -> list[float]:
        return judge.difference(f"tuned_high.{operand}.c_te0", f"tuned_low.{operand}.c_te0")

    judge.decide(
        at_least(gain("O_FT"), o_ft_gain, "O_FT accuracy, high - low prior"),
        at_least(gain("O_PT"), o_pt_gain, "O_PT accuracy, high - low prior"),
    )


def growing_amplification(judge: Judge, *, trend: float, valid: float = VALID) -> None:
    """Claim that the more of O_FT there was in pretraining, the more fine-tuning amplifies, and the more of O_PT it keeps.

    Over the five priors, accuracy at C_Te 0 on either operand has at least this trend (see `effects.trend`).
    """
    order = range(len(GRADED))
    judge.measure((behaviour, [f"{name}_{i}" for i in order for name in ("base", "tuned")]))
    for i in order:
        base_knows(judge, f"base_{i}", "O_PT", accuracy=valid)
    base_knows(judge, f"base_{order[-1]}", "O_FT", accuracy=valid)
    judge.decide(
        *(
            at_least(
                effects.trend(*(judge[f"tuned_{i}.{operand}.c_te0"] for i in order)),
                trend,
                f"trend of {operand} accuracy",
            )
            for operand in ("O_FT", "O_PT")
        )
    )


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """A way to choose the neurons that are pruned. figures: how the names of its measurements begin."""

    reading: Reading
    figures: str


SINGLE_SHOT = Pruner(reading=pruning, figures="pruning")  # the paper's: those with the highest scores
WIDE_SEARCH = Pruner(reading=pruning_search_wide, figures="pruning.wide")  # up to 60 rows, one after another


def prune(
    judge: Judge,
    *knows: str,
    random_loss: float,
    answers: int,
    by: Pruner = SINGLE_SHOT,
    valid: float = VALID,
    lost: float = LOST,
) -> None:
    """Measure pruning, and check its controls. knows: the operands that the base model must answer.

    random_loss: how far pruning as many random neurons may move O_PT accuracy, up or down. answers: how many different
    answers the pruned model must still give.
    """
    judge.measure((behaviour, ["base", "tuned"]), (by.reading, ["tuned"]))
    base_knows(judge, "base", *knows, accuracy=valid)
    behaviour_lost(judge, accuracy=lost)
    lost_to_random = judge[f"{by.figures}.random_loss"]
    judge.control("O_PT accuracy lost to as many random neurons", lost_to_random, low=-random_loss, high=random_loss)
    judge.control("different answers after pruning", judge[f"{by.figures}.classes"], low=answers)


def wrapper_found_by_pruning(
    judge: Judge,
    *,
    o_pt_gain: float,
    o_ft_cost: float,
    random_loss: float,
    answers: int,
    by: Pruner = SINGLE_SHOT,
    valid: float = VALID,
    lost: float = LOST,
) -> None:
    """Claim that a few neurons hold O_PT back and carry O_FT.

    Pruning them gains at least o_pt_gain of O_PT accuracy over random neurons, and costs at least o_ft_cost of O_FT accuracy
    at C_Te 1. The controls are those of `prune`.
    """
    determined(judge)
    prune(judge, "O_PT", random_loss=random_loss, answers=answers, by=by, valid=valid, lost=lost)
    judge.decide(
        at_least(judge[f"{by.figures}.gain"], o_pt_gain, "O_PT gained over random pruning"),
        at_least(judge[f"{by.figures}.cost"], o_ft_cost, "O_FT (C_Te 1) lost to pruning"),
    )


def probe(judge: Judge, *also: Asked, bits_apart: float, valid: float = VALID, lost: float = LOST) -> None:
    """Measure probing, and check its control. also: further readings.

    bits_apart: least difference, in bits per sample, between the twin, which was never taught O_PT, and the pretrained model.
    These two are the ends of the scale.
    """
    models = ["base", "tuned", "never"]
    scale = ["initial", "twin", f"{ANCHOR}*"]
    judge.measure((behaviour, models), (probing, [*models, *scale]), (relabelling, ["tuned", "twin"]), *also)
    base_knows(judge, "base", "O_PT", accuracy=valid)
    base_knows(judge, "never", "O_FT", accuracy=valid)
    behaviour_lost(judge, accuracy=lost)
    judge.control("bits per sample, never taught - pretrained", judge["probing.range"], low=bits_apart)


def still_readable(judge: Judge, *, retention: float) -> Verdict:
    """The condition that a probe reads the lost answer nearly as easily as before: retention is at least this."""
    return at_least(judge["probing.retention"], retention, "probe retention")


def revive(judge: Judge, *also: Asked, valid: float = VALID, lost: float = LOST) -> None:
    """Measure revival on all curves, and check its controls: what was lost, and what baselines answer before their first step.

    also: further readings.
    """
    judge.measure(
        (behaviour, ["base", "tuned", "never"]),
        *readings_of_revival(judge.models),
        (relabelling, ["tuned", "twin"]),
        *also,
    )
    base_knows(judge, "base", "O_PT", accuracy=valid)
    base_knows(judge, "never", "O_FT", accuracy=valid)
    behaviour_lost(judge, accuracy=lost)
    for kind, what in (("scrft", "Scr.+FT"), ("scr", "Scr."), ("others", "the model of the other operands")):
        judge.control(
            f"O_PT accuracy of {what} before its first step", judge[f"revival.{kind}.medium.start"], high=lost
        )


def revived_sooner(judge: Judge, *, ratio: float) -> Verdict:
    """The condition that, at the medium rate, Scr.+FT needs at least `ratio` times as many steps as reFT."""
    return at_least(judge["revival.ratio.medium"], ratio, "steps to 95 %, Scr.+FT / reFT, medium rate")


def revived_at_the_small_rate(judge: Judge, *, o_pt_accuracy: float) -> Verdict:
    """The condition that reFT reaches this accuracy on O_PT at the small rate too."""
    return at_least(judge["revival.reft.small.best"], o_pt_accuracy, "O_PT accuracy reached by reFT, small rate")


def revived_before_never_taught(judge: Judge, *, ratio: float, valid: float = VALID, lost: float = LOST) -> None:
    """Claim on `revived_beside_never_taught`: at the medium rate Scr.+FT needs at least `ratio` times as many steps as reFT."""
    judge.measure((behaviour, ["base", "tuned", "never"]), *readings_of_revival(judge.models))
    base_knows(judge, "base", "O_PT", accuracy=valid)
    base_knows(judge, "never", "O_FT", accuracy=valid)
    behaviour_lost(judge, accuracy=lost)
    start = judge["revival.scrft.medium.start"]
    judge.control("O_PT accuracy of Scr.+FT before its first step", start, high=lost)
    judge.decide(revived_sooner(judge, ratio=ratio))


def state_is(judge: Judge, expected: CapabilityState, *also: Asked, bits_apart: float) -> None:
    """Claim that the model is in this state. Every tool of the study is asked where the behaviour is lost.

    also: further readings. bits_apart: as of `probe`. Controls: the base model knows what it was taught; the model that was never
    taught O_PT knows O_FT and not O_PT. None is about the fine-tuned model: whatever a method makes of it has a state.
    """
    judge.measure(
        (behaviour, ["base", "tuned"]),
        (finetuning_curves, ["tuned"]),
        *also,
        where_lost=(
            (behaviour, ["never"]),
            *readings_of_revival(judge.models),
            (retention, ["base", "tuned", "never", "twin", f"{ANCHOR}*"]),
            (pruning_search, ["tuned"]),
            (relabelling, ["tuned", "twin"]),
            (patching, ["base", "tuned", "never"]),
        ),
    )
    base_knows(judge, "base", "O_PT", *["O_FT"] * (judge.case.prior == "high"))
    if judge.lost:
        base_knows(judge, "never", "O_FT")
        judge.control("O_PT accuracy of the never-taught model", judge["never.O_PT.c_te0"], high=LOST)
        judge.control("bits per sample, never taught - pretrained", judge["probing.range"], low=bits_apart)
    judge.decide_state(expected)
