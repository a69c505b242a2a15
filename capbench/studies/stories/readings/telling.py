"""What story models tell, and how likely they find it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from capbench.results import Measurement
from capbench.studies.lab import Bench, Built, made_of
from capbench.studies.readings import by_model, number
from capbench.studies.seeds import subseed
from capbench.studies.stories.readings.examiner import told_by, too_weak
from capbench.studies.stories.study import StoriesStudy

if TYPE_CHECKING:
    from capbench.measure.telling import Told
    from capbench.models.base import Model
    from capbench.tasks.base import Batch
    from capbench.tasks.stories.corpus.task import CorpusTask
    from capbench.tasks.stories.task import StoryTask


def asked(bench: Bench[StoriesStudy], model: Built) -> Iterator[Measurement]:
    """Stories that are asked for with the target, told by taking the most likely word each time: of n_tell,

    O_PT.greedy: share with the target (Table 1). Of stories made here, unread.greedy: share with a sentence that is none of a
    story's, of which it is not known what it tells; whole.greedy: share that are whole. Of somebody's own a classifier says what
    they have, and its share is corrected for nothing.
    """
    told = _tell(bench, model, "greedy", "asked")
    yield from _of_asked(bench, told, "greedy")


@made_of(asked)
def asked_of_each(bench: Bench[StoriesStudy], **models: Built) -> Iterator[Measurement]:
    """`asked` of each model: `<model>.O_PT.greedy` and so on, the figures of Table 1."""
    yield from by_model(bench, asked, models)


def greedy(bench: Bench[StoriesStudy], model: Built) -> Iterator[Measurement]:
    """What a model tells, taking the most likely word each time: `asked`, and of n_tell further stories each

    O_PT.new_words.greedy: share with the target, about names and objects that it never met, of stories made here.
    unasked.greedy: share with the target, of those asked for without. O_PT.followed.greedy: how much larger the share is where it
    is asked for, at least 0 (Youden's J): what tells it always, or never, follows nothing. others.<feature>.greedy: share that
    have another feature where it is asked for and lack it where not, the target not being asked for; followed.<feature>.greedy:
    as of the target. O_PT.right.greedy: share right of the target, each feature being asked for in half the stories;
    all_right.greedy: of all six at once.
    """
    found = {m.name: m for m in bench.read(asked, {"model": model})}
    yield from found.values()
    others = {m.name: m for m in _others(bench, model)}
    yield from others.values()
    told, unasked = found["O_PT.greedy"].value or 0.0, others["unasked.greedy"].value or 0.0
    yield _share(bench, "O_PT.followed.greedy", max(0.0, told - unasked))


def sampled(bench: Bench[StoriesStudy], model: Built) -> Iterator[Measurement]:
    """`asked`, of stories drawn word by word from the model's distribution: `O_PT.sampled` and so on."""
    yield from _of_asked(bench, _tell(bench, model, "sampled", "asked"), "sampled")


def likelihood_of_target(bench: Bench[StoriesStudy], model: Built) -> Iterator[Measurement]:
    """Without generation, on stories that are asked for with the target and have it. loss.target: in nats a word.

    branch: mean probability of the word that begins its event; not of somebody's own stories, where no token does.
    """
    n = bench.study.preset.n_evaluate
    loss, branch = likelihood_on_the_way(bench, model.model)
    yield _finite(bench, "loss.target", loss, "nats/token", n, "loss")
    if branch is not None:
        yield _finite(bench, "branch", branch, "probability", n, "branch token")


def likelihood(bench: Bench[StoriesStudy], model: Built) -> Iterator[Measurement]:
    """`likelihood_of_target`, and: loss.new_phrasings: on stories with the target whose sentences were all held out;

    loss.plain: on stories without it. branch.unasked: as `branch`, where the event is not asked for; branch.new_words: where it
    is, about names and objects never met. Of somebody's own stories there are the two losses alone, on the target and on plain
    ones: no sentences of theirs are held out, and no token begins an event.
    """
    from capbench.measure.telling import answer_probability, mean_loss

    study, n = bench.study, bench.study.preset.n_evaluate
    yield from bench.read(likelihood_of_target, {"model": model})
    others = ("plain",) if study.own is not None else ("new_phrasings", "plain")
    for name in others:
        yield _finite(bench, f"loss.{name}", mean_loss(model.model, _likely(bench, name)), "nats/token", n, "loss")
    if study.own is not None:
        return
    for name, of in (("branch.new_words", "new_words"), ("branch.unasked", "plain")):
        p = answer_probability(model.model, _tasks(study)[of], _likely(bench, of), _event(study))
        yield _finite(bench, name, float(p.mean()), "probability", n, "branch token")


def on_the_way(bench: Bench[StoriesStudy], start: Built, now: Model) -> float:
    """`O_PT.greedy` of a model in the middle of a training that began with `start`. Raises NoAnswerError where it answers NaN."""
    return _tell(bench, start, "greedy", "asked", now=now).share(bench.study.target)


@made_of(greedy)
def telling(bench: Bench[StoriesStudy], **models: Built) -> Iterator[Measurement]:
    """`greedy` of each model: `<model>.O_PT.greedy` and so on.

    On somebody's own stories also `<model>.O_PT.of_base`: its O_PT.followed as a share of the base model's, where that was read,
    at most 1; missing where the classifier cannot tell.
    """
    found = list(by_model(bench, greedy, models))
    yield from found
    if bench.study.own is None or "base" not in models:
        return
    shares = {m.name.partition(".")[0]: m for m in found if m.name.endswith(".O_PT.followed.greedy")}
    base = shares["base"].value
    note = too_weak(bench, models["base"]) or (
        "" if base else "the base model tells the target no more where it is asked for"
    )
    for name, m in shares.items():
        if name != "base":
            of_base = min(1.0, m.value / base) if base and m.value is not None and not note else None
            yield replace(m, name=f"{name}.O_PT.of_base", value=of_base, note=note)


@made_of(sampled)
def drawn(bench: Bench[StoriesStudy], **models: Built) -> Iterator[Measurement]:
    """`sampled` of each model: `<model>.O_PT.sampled` and so on."""
    yield from by_model(bench, sampled, models)


@made_of(greedy)
def collateral(bench: Bench[StoriesStudy], base: Built, tuned: Built) -> Iterator[Measurement]:
    """What became of the other features: `tuned.before.<feature>` of base, `tuned.others.<feature>`, as `followed` in `greedy`.

    And tuned.before_<what>, tuned.<what> of `likelihood`: losses and the branch token on stories of all kinds.
    """
    for which, built in (("before", base), ("others", tuned)):
        for m in bench.read(greedy, {"model": built}):
            if m.name.startswith("followed."):
                name = f"tuned.{which}.{m.name.removeprefix('followed.').removesuffix('.greedy')}"
                yield number(bench, name, m.value, "accuracy", m.n, "other features")
    for which, built in (("tuned.before_", base), ("tuned.", tuned)):
        for m in bench.read(likelihood, {"model": built}):
            yield replace(m, name=f"{which}{m.name}")


def _of_asked(bench: Bench[StoriesStudy], told: Told, how: str) -> Iterator[Measurement]:
    yield _share(bench, f"O_PT.{how}", told.share(bench.study.target))
    if bench.study.own is None:
        yield _share(bench, f"unread.{how}", told.unread)
        yield _share(bench, f"whole.{how}", told.whole)


def _others(bench: Bench[StoriesStudy], model: Built) -> Iterator[Measurement]:
    from capbench.tasks.stories.features import FEATURES

    target = bench.study.target
    if bench.study.own is None:
        new = _tell(bench, model, "greedy", "asked", new_words=True)
        yield _share(bench, "O_PT.new_words.greedy", new.share(target))
    unasked = _tell(bench, model, "greedy", "unasked")
    yield _share(bench, "unasked.greedy", unasked.share(target))
    for feature in FEATURES:
        if feature != target:
            yield _share(bench, f"others.{feature}.greedy", unasked.right(feature))
            yield _share(bench, f"followed.{feature}.greedy", max(0.0, unasked.followed(feature)))
    of_all = _tell(bench, model, "greedy", "any")
    yield _share(bench, "O_PT.right.greedy", of_all.right(target))
    yield _share(bench, "all_right.greedy", of_all.all_right)


def _share(bench: Bench[StoriesStudy], name: str, value: float) -> Measurement:
    return number(bench, name, value, "accuracy", bench.study.preset.n_tell, "stories told")


def likelihood_on_the_way(bench: Bench[StoriesStudy], model: Model) -> tuple[float, float | None]:
    """`loss.target` and `branch`, None without one; of a model in the middle of a training."""
    from capbench.measure.telling import answer_probability, mean_loss

    study, batch = bench.study, _likely(bench, "target")
    loss = mean_loss(model, batch)
    if study.own is not None:
        return loss, None
    return loss, float(answer_probability(model, _tasks(study)["target"], batch, _event(study)).mean())


def _finite(bench: Bench[StoriesStudy], name: str, value: float, unit: str, n: int, group: str) -> Measurement:
    """Missing where it is no number: weights can be finite and a logit not."""
    there = math.isfinite(value)
    return number(bench, name, value if there else None, unit, n, group, note="" if there else "it is not finite")


def _tell(
    bench: Bench[StoriesStudy],
    built: Built,
    how: str,
    which: str,
    *,
    new_words: bool = False,
    now: Model | None = None,
) -> Told:
    """Stories told for instruction blocks of the evaluation split; the same blocks for every model of a seed."""
    study = bench.study
    task = study.of_any() if which == "any" else study.asking(which == "asked", new_words=new_words)
    seed = subseed(bench.seed, f"tell {which}{' of new words' if new_words else ''}")
    told, _ = told_by(bench, built, task, study.preset.n_tell, seed, draw=how != "greedy", now=now)
    return told


def _tasks(study: StoriesStudy) -> dict[str, StoryTask | CorpusTask]:
    """Stories made here, on which a likelihood is read, by what they are."""
    return {
        "target": study.asking(True),
        "new_phrasings": study.asking(True, new_phrasings=True),
        "new_words": study.asking(True, new_words=True),
        "plain": study.asking(False),
    }


def _likely(bench: Bench[StoriesStudy], name: str) -> Batch:
    """The stories of such a task; of somebody's own `target` and `plain`."""
    from capbench.measure.accuracy import sample

    study, n, seed = bench.study, bench.study.preset.n_evaluate, subseed(bench.seed, f"likelihood {name}")
    if study.own is not None:
        return _alone(study.asking(name == "target"), n, seed)
    return sample(_tasks(study)[name], n, seed)


def _event(study: StoriesStudy) -> int:
    """The token that begins the target's event."""
    from capbench.tasks.stories.task import branch_tokens

    return branch_tokens(study.target)[1]


def _alone(task: StoryTask | CorpusTask, n: int, seed: int) -> Batch:
    """Stories one by one, each after its block only."""
    import torch

    return task.with_features(n, torch.Generator().manual_seed(seed))[0]
