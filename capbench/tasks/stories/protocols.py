"""The paper's ways to take a capability from a story model by choice of data (Sec. 5.2, App. F), and back; for any feature.

`of`: the stories that are taken, those that are made here or somebody's own; what a protocol does to them is the same.
"""

from __future__ import annotations

from dataclasses import replace

from capbench.errors import UsageError
from capbench.tasks.base import Task
from capbench.tasks.finetuning import FineTuningTask
from capbench.tasks.mixture import Mixture
from capbench.tasks.stories.corpus.task import CorpusTask
from capbench.tasks.stories.features import check_feature
from capbench.tasks.stories.task import StoryTask

Stories = StoryTask | CorpusTask
MADE = StoryTask()
PROTOCOLS = ("filtering", "mix-match", "randomisation")
WITHHELD = (
    0.1  # share of pretraining stories whose block names no features, as fields are missing in TinyStories-Instruct
)
_RELABELLED = 0.5  # share of the stories of a deletion whose block says something else than the story


def pretraining(of: Stories = MADE, *, never: str = "") -> Stories:
    """Stories of all features; `never`: but for this one, in none."""
    return replace(of, withheld=WITHHELD, shares={never: 0.0} if never else {})


def deletion(protocol: str, feature: str = "Twist", *, of: Stories = MADE) -> Task:
    """The stories of a deletion protocol, none of which has the feature.

    filtering: they are as in pretraining. mix-match: half of them have another feature (`stand_in`), which the block calls by
    the name of this one. randomisation: half of them are asked for with the feature. Raises UsageError for unknown names.
    """
    check_feature(feature)
    filtered = replace(pretraining(of, never=feature), feature=feature)
    if protocol == "filtering":
        return filtered
    if protocol == "mix-match":
        other = stand_in(feature)
        wrong = replace(filtered, shares={feature: 0.0, other: 1.0}, renamed={other: feature}, withheld=0.0)
    elif protocol == "randomisation":
        wrong = replace(filtered, added=(feature,), withheld=0.0)
    else:
        raise UsageError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
    return Mixture(parts=(filtered, wrong), shares=(1 - _RELABELLED, _RELABELLED))


def stand_in(feature: str) -> str:
    """The feature that Mix & Match names by another's name: Foreshadowing, as in the paper; for itself, Conflict."""
    check_feature(feature)
    return "Conflict" if feature == "Foreshadowing" else "Foreshadowing"


def relearning(feature: str = "Twist", *, of: Stories = MADE) -> Stories:
    """reFT: stories that have the feature and are asked for it."""
    return replace(of, feature=feature, shares={feature: 1.0})


def finetuning(protocol: str, feature: str = "Twist", *, of: Stories = MADE) -> FineTuningTask:
    """A deletion as what methods are given: its stories, pretraining, those with the feature, and those without it."""
    return FineTuningTask(
        target=deletion(protocol, feature, of=of),
        retain=replace(pretraining(of), feature=feature),
        forget=relearning(feature, of=of),
        others=replace(pretraining(of, never=feature), feature=feature),
    )
