"""Who says what a told story has: the checker of stories that are made here, or a classifier of somebody's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built
from capbench.studies.readings import number
from capbench.studies.seeds import subseed
from capbench.studies.stories.study import StoriesStudy
from capbench.studies.stories.thresholds import CLASSIFIED
from capbench.tasks.stories.corpus.task import CorpusTask
from capbench.tasks.stories.task import StoryTask

if TYPE_CHECKING:
    from capbench.measure.telling import Told
    from capbench.models.base import Model

NO_BRANCH_TOKEN = "not measured on own stories: no token of theirs decides a feature"


def told_by(
    bench: Bench[StoriesStudy],
    built: Built,
    task: StoryTask | CorpusTask,
    n: int,
    seed: int,
    *,
    draw: bool = False,
    now: Model | None = None,
) -> tuple[Told, list[str]]:
    """What a model tells for n blocks of a task, and these blocks as text. draw: word by word, not the most likely ones.

    now: the model as it is now, in the middle of a training; by default as it was built.
    """
    import torch

    batch, _, asked = task.with_features(n, torch.Generator().manual_seed(seed))
    temperature = 1.0 if draw else 0.0
    rng = torch.Generator().manual_seed(subseed(seed, "draw")) if draw else None
    model = now or built.model
    if isinstance(task, StoryTask):
        from capbench.measure.telling import tell
        from capbench.tasks.stories import vocabulary
        from capbench.tasks.stories.drawing import PROMPT

        prompts = [vocabulary.decode(row) for row in batch.tokens[:, :PROMPT].tolist()]
        return tell(model, batch, asked, temperature=temperature, rng=rng), prompts
    from capbench.measure.classified import Classifier, tell_own
    from capbench.tasks.stories.corpus.task import lengths

    tokens, judge = task.opened.tokens, Classifier(_classifier(bench, built).model)
    rows = zip(batch.tokens.tolist(), lengths(batch)[0].tolist(), strict=True)
    prompts = [tokens.decode(row[:length]) for row, length in rows]
    told = tell_own(model, batch, asked, tokens=tokens, classifier=judge, temperature=temperature, rng=rng)
    return told, prompts


def classifier_skill(bench: Bench[StoriesStudy], classifier: Built) -> Iterator[Measurement]:
    """How well the classifier does on held-out stories, half of which have a feature by their blocks, and which select nothing:

    classifier.accuracy: balanced, of the target; classifier.sensitivity, .specificity: share right of those with it, and of those
    without. classifier.<feature>.accuracy: balanced, of the others, where some stories have them and some do not.
    """
    import torch

    from capbench.measure.classified import Classifier, skill

    study, n = bench.study, bench.study.preset.n_evaluate
    for feature in study.told_apart("train", "evaluate"):
        rng = torch.Generator().manual_seed(subseed(bench.seed, f"examine {feature}"))
        found = skill(Classifier(classifier.model), study.questions(), feature, n, rng)
        if feature == study.target:
            yield number(bench, "classifier.accuracy", found.accuracy, "accuracy", n, "classifier")
            yield number(bench, "classifier.sensitivity", found.sensitivity, "share", n // 2, "classifier")
            yield number(bench, "classifier.specificity", found.specificity, "share", n - n // 2, "classifier")
        else:
            yield number(bench, f"classifier.{feature}.accuracy", found.accuracy, "accuracy", n, "classifier")


def too_weak(bench: Bench[StoriesStudy], beside: Built) -> str:
    """Why the seed's classifier cannot tell which stories have the target; '' if it can. beside: a model of the same store."""
    read = bench.read(classifier_skill, {"classifier": _classifier(bench, beside)})
    (found,) = (m.value for m in read if m.name == "classifier.accuracy")
    if found is not None and found >= CLASSIFIED:
        return ""
    return f"the classifier is too weak: its balanced accuracy is {found or 0:.2f}, {CLASSIFIED} is needed"


def left_out(bench: Bench[StoriesStudy], tuned: Built) -> Iterator[Measurement]:
    """What is not measured on somebody's own stories, by name and with the reason: what rests on the branch token."""
    for name, unit in (
        ("patching.kept", "share"),
        ("pruning.searched.gain", "difference"),
        ("pruning.searched.cost", "difference"),
    ):
        yield number(bench, name, None, unit, 0, name.partition(".")[0], note=NO_BRANCH_TOKEN)


def _classifier(bench: Bench[StoriesStudy], beside: Built) -> Built:
    """That of the seed, from the store that a model is in. It follows from the study and the seed, which are in every key."""
    step = bench.study.classifier(bench.seed)
    assert step is not None  # of somebody's own stories
    if bench.lab is not None:
        return bench.lab.built(step, beside.device)
    return Built(step=step, store=beside.store, device=beside.device)
