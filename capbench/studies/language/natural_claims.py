"""The claims about what a model has from pretraining: their models, what is measured, their controls and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capbench.pipeline.steps import Step
from capbench.results import Verdict
from capbench.studies.given_interval import of_interval
from capbench.studies.judge import Case, Judge
from capbench.studies.language.natural_readings import ability, outcome
from capbench.studies.language.natural_study import PairStudy
from capbench.verdicts.claims import at_least

Models = Mapping[str, Step]

# The models of a claim: (study, seed, case) -> steps by name


def given(study: Any, seed: int, case: Case) -> Models:
    """The given model."""
    return {"base": study.base}


def tuned(study: Any, seed: int, case: Case) -> Models:
    """The given model, and the same after the method."""
    return {"base": study.base, "tuned": study.tuned(seed, **case.parameters)}


def pair(study: Any, seed: int, case: Case) -> Models:
    """The given model, and the finished one."""
    return {"base": study.base, "tuned": study.judged}


# The claims


def able(judge: Judge, *, above_chance: float) -> None:
    """The control that the given model has the capability: its accuracy is so far above chance."""
    if isinstance(judge.study, PairStudy):
        (kept,) = (m for m in judge.measurements if m.name == "natural.kept")
        judge.require(kept.value is not None, kept.note)
        return
    judge.control(
        "accuracy of the given model, above chance",
        judge["natural.base.above"],
        low=above_chance,
        otherwise="the given model does not have the capability",
    )


def has(judge: Judge, *, above_chance: float) -> None:
    """Claim that the given model has the capability. It is one model on every seed, so what is not known is of the items."""
    judge.measure((ability, ["base"]))
    chance = min(judge["natural.chance"])
    name = "natural.base.accuracy"
    worst, low, high = min(zip(judge[name], judge[f"{name}.low"], judge[f"{name}.high"], strict=True))
    n = min(m.n for m in judge.measurements if m.name == name)
    what, how = "accuracy of the given model, above chance", f"Wilson's, {n} items"
    found = worst - chance, (low - chance, high - chance)
    judge.decide(of_interval(found, above_chance, what, how=how, seeds=len(judge.steps)))


def keeps(judge: Judge, *, share: float, above_chance: float) -> None:
    """Claim that at least this share of the way from chance to the given model's accuracy is kept."""
    _measure(judge, above_chance)
    judge.decide(_at_least(judge, "natural.kept", share, "accuracy after the change, 0 at chance and 1 before it"))


def recovers(judge: Judge, *, share: float, above_chance: float) -> None:
    """Claim that what was lost comes back: the strongest attack that counts brings it to this share. Invalid where it is kept."""
    _measure(judge, above_chance)
    said = [m.note.partition(": ")[0] for m in judge.measurements if m.name == "natural.recovered"]
    what = f"accuracy after the strongest attack ({'; '.join(said)})"
    judge.decide(_at_least(judge, "natural.recovered", share, what))


def spares(judge: Judge, *, rise: float, above_chance: float) -> None:
    """Claim that the loss on text to keep rose by at most this share."""
    _measure(judge, above_chance)
    what = "loss on text, before the change ÷ after it"
    judge.decide(_at_least(judge, "natural.text", 1 / (1 + rise), what))


def _measure(judge: Judge, above_chance: float) -> None:
    judge.measure((ability, ["base"]), (outcome, ["base", "tuned"]))
    able(judge, above_chance=above_chance)


def _at_least(judge: Judge, name: str, threshold: float, what: str) -> Verdict:
    """Over seeds; of a finished model, of which there is one, over the items that it was asked, or on the text as it is."""
    if not isinstance(judge.study, PairStudy):
        return at_least(judge[name], threshold, what)
    (value,) = judge[name]
    at = {m.name: m.value for m in judge.measurements}
    low, high = at.get(f"{name}.low"), at.get(f"{name}.high")
    ci = None if low is None or high is None else (low, high)
    how = "one finished model: " + ("the text as it is" if ci is None else "Wilson's interval over the items")
    return of_interval((value, ci), threshold, what, how=how, seeds=1, per_seed=(value,))
