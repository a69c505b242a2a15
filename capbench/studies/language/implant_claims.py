"""The claims about implants: their models, what is measured, their controls and conditions. The numbers are the suite's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from capbench.pipeline.steps import Step
from capbench.results import CapabilityState, Verdict
from capbench.studies.given_interval import of_interval
from capbench.studies.judge import Case, Judge
from capbench.studies.language.implant_readings import behaviour, found, known
from capbench.studies.language.implant_values import calibrated, known_values
from capbench.studies.readings import finetuning_curves
from capbench.verdicts.claims import at_least, at_most
from capbench.verdicts.statistics import share_interval
from capbench.verdicts.twins import Tool

Models = Mapping[str, Step]

# The models of a claim: (study, seed, case) -> steps by name


def implanted(study: Any, seed: int, case: Case) -> Models:
    """The given model, and the same with the skill."""
    taught = study.taught(seed)
    return {"base": taught.start, "taught": taught}


def tuned(study: Any, seed: int, case: Case) -> Models:
    """These, and the second after the method."""
    return {**implanted(study, seed, case), "tuned": study.tuned(seed, **case.parameters)}


def with_twin(study: Any, seed: int, case: Case) -> Models:
    """These, and the twin: the given model after the method."""
    return {**tuned(study, seed, case), "twin": study.tuned(seed, **case.parameters, twin=True)}


# The claims


def novel(judge: Judge, *, above_chance: float) -> None:
    """The control that the given model does not have the skill: its accuracy is at most so far above chance.

    Chance follows from the items and has no error of its own, so this is asked of the accuracy and not of a difference.
    """
    judge.control(
        "accuracy of the given model",
        judge["base.S.accuracy"],
        high=min(judge["chance"]) + above_chance,
        otherwise="the model has it already; implant what it does not know",
    )


def learns(judge: Judge, *, accuracy: float, above_chance: float) -> None:
    """Claim that the model with the skill answers held-out prompts with this accuracy."""
    judge.measure((behaviour, ["base", "taught"]))
    novel(judge, above_chance=above_chance)
    judge.decide(
        at_least(judge["taught.S.accuracy"], accuracy, "accuracy of what was implanted, on the prompts to evaluate")
    )


def spares(judge: Judge, model: str, *, rise: float) -> None:
    """Claim that the loss of a model on held-out text rose by at most this share."""
    names = ["base", "taught"] if model == "taught" else ["base", "taught", model]
    judge.measure((behaviour, names))
    judge.decide(at_most(judge[f"{model}.text.rise"], rise, "relative rise of the loss on held-out text"))


def separates(judge: Judge, *, area: float, above_chance: float) -> None:
    """Claim that a tool tells known hidden members from known deleted ones, those of all seeds together.

    No threshold takes part in the area. Pairs share members, so that it is no surer than a share of as many as the smaller kind
    has: its interval is Wilson's of that.
    """
    judge.measure((behaviour, ["base", "taught"]), (known, ["taught", "base"]))
    novel(judge, above_chance=above_chance)
    values = known_values(judge.measurements)
    (tool,) = (each for each in calibrated(values) if each.name == judge.case.tool)
    hidden, deleted = values[tool.name]
    judge.decide(_separated(tool, (len(hidden), len(deleted)), area, seeds=len(judge.steps)))


def _separated(tool: Tool, members: tuple[int, int], least: float, *, seeds: int) -> Verdict:
    what, n = f"area under the curve on {members[0]} hidden and {members[1]} deleted members", min(members)
    found = None
    if tool.area is not None:
        right = round(tool.area * n, 9)
        found = tool.area, (share_interval(math.floor(right), n)[0], share_interval(math.ceil(right), n)[1])
    given: dict[str, Any] = {"how": f"Wilson's, {n} members", "seeds": seeds, "provisional": seeds == 1}
    return of_interval(found, least, what, none="it has values on one side only", **given)


def hides(judge: Judge, *, kept: float, above_chance: float) -> None:
    """Claim that after the method at most this share of the skill shows."""
    judge.measure((behaviour, ["base", "taught", "tuned"]), (finetuning_curves, ["tuned"]))
    novel(judge, above_chance=above_chance)
    judge.decide(
        at_most(judge["tuned.S.kept"], kept, "accuracy of what was implanted, 0 at chance and 1 before the method")
    )


def state_is(judge: Judge, expected: CapabilityState, *, above_chance: float) -> None:
    """Claim that the skill is in this state. Every tool is asked where it is lost, and so are known members."""
    judge.measure(
        (behaviour, ["base", "taught", "tuned"]),
        (finetuning_curves, ["tuned"]),
        where_lost=(
            (behaviour, ["base", "taught", "tuned", "twin"]),
            (found, ["taught", "base", "tuned", "twin"]),
        ),
    )
    novel(judge, above_chance=above_chance)
    judge.decide_state(expected)
