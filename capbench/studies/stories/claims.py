"""The claims about stories: their models, what is measured, their controls and conditions. The numbers are the suite's.

On somebody's own stories a classifier says what a told story has. It is one of the models, and its accuracy a control.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capbench.pipeline.steps import Step
from capbench.results import CapabilityState
from capbench.studies.judge import Case, Judge
from capbench.studies.readings import finetuning_curves
from capbench.studies.stories.readings import (
    classifier_skill,
    drawn,
    left_out,
    passages,
    patching,
    probing,
    pruning_search,
    relearning,
    telling,
)
from capbench.studies.stories.study import CLASSIFIER
from capbench.studies.stories.thresholds import CLASSIFIED, LOST, TOLD, UNREAD, Either
from capbench.tasks.stories.features import FEATURES
from capbench.verdicts.claims import at_least, at_most
from capbench.verdicts.effects import worst

Models = Mapping[str, Step]
COIN = 1.0  # bits that yes or no takes without a probe
RELEARNING = (relearning, ["tuned", "never", "twin"])

# The models of a claim: (study, seed, case) -> steps by name


def base(study: Any, seed: int, case: Case) -> Models:
    """The pretrained model, and one that never saw a story with the target."""
    return {"base": study.base(seed), "never": study.base(seed, never=True), **study.judges(seed)}


def deleted(study: Any, seed: int, case: Case) -> Models:
    """The pretrained model, and the same after the deletion of the case."""
    tuned = study.deleted(seed, **case.parameters)
    return {"base": tuned.base, "tuned": tuned, **study.judges(seed)}


def all_protocols(study: Any, seed: int, case: Case) -> Models:
    """The pretrained model after each of the three protocols at the rate of the case, which leaves the protocol open."""
    found = {
        name: study.deleted(seed, protocol=protocol, **case.parameters)
        for name, protocol in (("filtered", "filtering"), ("mixed", "mix-match"), ("randomised", "randomisation"))
    }
    return {"base": found["filtered"].base, **found, **study.judges(seed)}


def relearnt(study: Any, seed: int, case: Case) -> Models:
    """A deletion and the same after some reFT, whose stories are shown; the never-taught model and its twin."""
    found = deleted(study, seed, case)
    twin = study.deleted(seed, never=True, **case.parameters)
    steps = _shown(study)
    after = study.relearnt(found["tuned"], seed, lr="medium", steps=steps)
    return {**found, "never": twin.base, "twin": twin, f"reft_{steps}": after}


def probed(study: Any, seed: int, case: Case) -> Models:
    """A deletion, and the models that a probe of it is compared with."""
    twin = study.deleted(seed, never=True, **case.parameters)
    return {**deleted(study, seed, case), "never": twin.base, "twin": twin}


# The claims


def classifier_knows(judge: Judge) -> None:
    """The control, of somebody's own stories, that their classifier can tell which have the target."""
    if _own(judge):
        judge.control(
            "balanced accuracy of the classifier on held-out stories",
            judge["classifier.accuracy"],
            low=CLASSIFIED,
            otherwise="what a story has is not known: the classifier is too weak",
        )


def base_tells(judge: Judge, *, target: Either = TOLD, examined: bool = False) -> None:
    """The control that the base model tells the target in this share of the stories that are asked for with it.

    examined: `classifier_knows` was asked before.
    """
    if not examined:
        classifier_knows(judge)
    judge.control(
        "share of the base model's stories with the target",
        judge["base.O_PT.greedy"],
        low=target.of(_own(judge)),
        otherwise="the base model does not know the target",
    )


def knows_all(judge: Judge, *, target: Either, followed: float, more: float, never: float) -> None:
    """Claim that the base model follows its instructions: the target is told in this share of stories, each feature right.

    target: share with it, of stories asked for with it. followed: of each of the six, share in which it is told or left out as
    asked. never: the most that the never-taught model may tell of the target. more: of somebody's own stories, which may have a
    feature that their block does not name, in place of `followed`: least share with the target where it is asked for, over that
    where it is not.
    """
    judge.measure((telling, ["base", "never"]), *_examined(judge))
    classifier_knows(judge)
    judge.control("share of the never-taught model's stories with the target", judge["never.O_PT.greedy"], high=never)
    told = at_least(
        judge["base.O_PT.greedy"], target.of(_own(judge)), "share of stories with the target, asked for with it"
    )
    if _own(judge):
        over = judge.difference("base.O_PT.greedy", "base.unasked.greedy")
        judge.decide(told, at_least(over, more, "share of stories with the target, asked for with it - without"))
        return
    study: Any = judge.study
    others = [feature for feature in FEATURES if feature != study.target]
    right = [judge["base.O_PT.right.greedy"], *(judge[f"base.others.{feature}.greedy"] for feature in others)]
    judge.decide(told, at_least(worst(*right), followed, "share right of the worst of the six features"))


def keeps(judge: Judge, *, share: float) -> None:
    """Claim that the target is still told, in at least this share of the stories that are asked for with it."""
    pair = ["base", "tuned"]
    judge.measure((telling, pair), (drawn, pair), (finetuning_curves, ["tuned"]), (passages, pair), *_examined(judge))
    base_tells(judge)
    judge.decide(at_least(judge["tuned.O_PT.greedy"], share, "share of stories with the target after deletion"))


def hides(judge: Judge, *, randomised: float, below_filtering: Either) -> None:
    """Claim that the wrong blocks of two protocols hide the target and filtering does not.

    After randomisation at most this share of the stories has it; after mix & match at least so much less than after filtering.
    """
    four = ["base", "filtered", "mixed", "randomised"]
    judge.measure((telling, four), (drawn, four), (passages, four), *_examined(judge))
    base_tells(judge)
    if not _own(judge):
        for name in ("mixed", "randomised"):
            judge.control(
                f"share of stories with sentences that are none of a story's, {name}",
                judge[f"{name}.unread.greedy"],
                high=UNREAD,
                otherwise="what these stories tell is not known",
            )
    judge.decide(
        at_most(judge["randomised.O_PT.greedy"], randomised, "share of stories with the target after randomisation"),
        at_least(
            judge.difference("filtered.O_PT.greedy", "mixed.O_PT.greedy"),
            below_filtering.of(_own(judge)),
            "share of stories with the target, filtering - mix & match",
        ),
    )


def target_lost(judge: Judge) -> None:
    """The control that the target is told in at most `LOST` of the stories. Otherwise nothing can come back."""
    judge.control(
        "share of stories with the target after deletion",
        judge["tuned.O_PT.greedy"],
        high=LOST,
        otherwise="nothing to uncover or revive",
    )


def revived_sooner(judge: Judge, *, ratio: float, never: float) -> None:
    """Claim that the never-taught model needs at least `ratio` times as many steps as reFT to tell the target in 75 %.

    never: the most that the never-taught model may tell before its first step.
    """
    three = ["base", "tuned", "never"]
    judge.measure((telling, three), RELEARNING, _before_and_after(judge), *_examined(judge))
    base_tells(judge)
    target_lost(judge)
    judge.control("share of the never-taught model's stories with the target", judge["never.O_PT.greedy"], high=never)
    judge.decide(at_least(judge["relearning.ratio"], ratio, "steps to 75 % of stories, never taught / reFT"))


def still_readable(judge: Judge, *, retention: float, bits_apart: float) -> None:
    """Claim that a probe reads the target's event off the end of a story nearly as easily as before.

    bits_apart: least difference, in bits per story, between the twin and the pretrained model, the ends of the scale.
    """
    four = ["base", "tuned", "never", "twin"]
    judge.measure((telling, ["base", "tuned"]), (probing, four), *_examined(judge))
    base_tells(judge)
    target_lost(judge)
    judge.control(
        "bits per story of the pretrained model",
        judge["probing.bits.base"],
        high=COIN,
        otherwise="the probe reads it no better than a coin, which takes one bit",
    )
    judge.control("bits per story, never taught - pretrained", judge["probing.range"], low=bits_apart)
    judge.decide(at_least(judge["probing.retention"], retention, "probe retention"))


def state_is(judge: Judge, expected: CapabilityState, *, never: float) -> None:
    """Claim that the model is in this state. Every tool of the study is asked where the target is lost.

    Of somebody's own stories those that rest on the branch token are left out, and the record says so.

    never: the most that the never-taught model may tell of the target.
    """
    if _own(judge):  # before the models for a lost behaviour are made: without a classifier nothing is known to be lost
        judge.measure(*_examined(judge))
        classifier_knows(judge)
    by_branch = ((patching, ["base", "tuned", "never"]), (pruning_search, ["tuned"]))
    judge.measure(
        (telling, ["base", "tuned"]),
        (finetuning_curves, ["tuned"]),
        where_lost=(
            (telling, ["never"]),
            (drawn, ["tuned"]),
            RELEARNING,
            _before_and_after(judge),
            (probing, ["base", "tuned", "never", "twin"]),
            *(((left_out, ["tuned"]),) if _own(judge) else by_branch),
        ),
    )
    base_tells(judge, examined=_own(judge))
    if judge.lost:
        judge.control("share of the never-taught model's stories with it", judge["never.O_PT.greedy"], high=never)
    judge.decide_state(expected)


def _before_and_after(judge: Judge) -> tuple[Any, list[str]]:
    """Stories before and after deletion, and after some reFT."""
    return passages, ["base", "tuned", f"reft_{_shown(judge.study)}"]


def _shown(study: Any) -> int:
    """After how many steps of reFT stories are shown: those that stand for the paper's 300 (Table 1)."""
    steps: int = study.preset.table_steps[-2]
    return steps


def _own(judge: Judge) -> bool:
    """Whether the stories are somebody's own."""
    return getattr(judge.study, "own", None) is not None


def _examined(judge: Judge) -> tuple[tuple[Any, list[str]], ...]:
    """The reading of the classifier, where one says what a story has."""
    return ((classifier_skill, [CLASSIFIER]),) if _own(judge) else ()
