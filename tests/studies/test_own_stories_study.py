"""The study on somebody's own stories: prepared once, a classifier as judge and as a control, and what is left out by name."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import pytest
from own_stories import corpus, made_records, write
from tiny import built
from tiny_stories import TINY

from capbench.errors import UsageError
from capbench.methods.specs.registry import find
from capbench.pipeline.steps import Edit, Step
from capbench.results import CapabilityState, Measurement, Record, Status
from capbench.store.store import Store
from capbench.studies.judge import Case, Claim, InvalidClaimError, Judge
from capbench.studies.lab import Bench, Lab
from capbench.studies.stories import claims, prepared, readings
from capbench.studies.stories.factory import on_own
from capbench.studies.stories.readings import examiner
from capbench.studies.stories.study import StoriesStudy
from capbench.studies.stories.thresholds import FOLLOWED, MORE, TOLD, Either
from capbench.studies.stories.tools import ON_OWN_STORIES
from capbench.tasks.stories.features import FEATURES
from capbench.verdicts.capability import assess

CASE = Case(protocol="mix-match", lr="medium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("own") / "corpus", train=200, valid=120)


@pytest.fixture(scope="module")
def study(folder: Path) -> StoriesStudy:
    preset = dataclasses.replace(TINY, own_vocabulary=1500, own_length=160, classifier_steps=2, probe_blocks=(8, 12))
    return on_own(StoriesStudy(preset=preset, method=find("full")), str(folder), folder.parent / "prepared")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, study: StoriesStudy) -> Store:
    found = Store(tmp_path_factory.mktemp("own-stories"))
    built(found, models(study).values())
    return found


def models(study: StoriesStudy) -> dict[str, Step]:
    return {**claims.relearnt(study, 0, CASE), **claims.base(study, 0, CASE)}


def read(store: Store, study: StoriesStudy, reading: Any, *names: str) -> dict[str, Measurement]:
    every = models(study)
    found = Lab(store).read(reading, Bench(study=study, seed=0), {name: every[name] for name in names})
    return {m.name: m for m in found if m.is_number}


def test_stories_are_made_to_tokens_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder.parent / "prepared"
    given = {"vocab_size": 1500, "seq_len": 160}
    first = prepared.stories_in(str(folder), root, **given)
    prepared.stories_in.cache_clear()

    def never(*_: object, **__: object) -> None:
        raise AssertionError("prepared again")

    monkeypatch.setattr(prepared, "prepare", never)
    assert prepared.stories_in(str(folder), root, **given) == first
    moved = write(folder.parent / "moved", made_records(200, 0), made_records(120, 1))  # the same text elsewhere
    assert prepared.stories_in(str(moved), root, **given) == first
    with pytest.raises(AssertionError, match="prepared again"):
        prepared.stories_in(str(folder), root, vocab_size=1400, seq_len=160)
    assert not list(root.glob(".draft-*"))


def _prepare(where: tuple[str, Path]) -> str:
    return prepared.stories_in(where[0], where[1], vocab_size=1500, seq_len=160).identity


@pytest.mark.slow
def test_processes_that_come_at_once_find_the_same(folder: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert len(set(pool.map(_prepare, [(str(folder), tmp_path)] * 3))) == 1
    assert sum(place.is_dir() for place in tmp_path.iterdir()) == 1


def test_keys_say_whose_stories_they_are_and_not_where_they_lie(study: StoriesStudy, tmp_path: Path) -> None:
    assert study.own is not None
    elsewhere = dataclasses.replace(study, own=dataclasses.replace(study.own, path=str(tmp_path)))
    others = dataclasses.replace(study, own=dataclasses.replace(study.own, identity="others"))
    assert elsewhere.base(0).key == study.base(0).key != others.base(0).key
    made = dataclasses.replace(study, own=None)
    assert made.base(0).key != study.base(0).key and made.task_name != study.task_name
    assert study.protocol({"lr": "small"})["stories"] == study.own.identity[:12]
    assert pickle.loads(pickle.dumps(study)) == study


def test_the_classifier_is_the_base_model_trained_on(study: StoriesStudy) -> None:
    found = claims.deleted(study, 0, CASE)
    judge = found["classifier"]
    assert isinstance(judge, Edit) and judge.start.key == found["base"].key
    assert judge.task is not None and judge.task.name == "questions about features"
    assert "classifier" not in claims.deleted(dataclasses.replace(study, own=None), 0, CASE)


def test_what_is_told_is_classified_and_nothing_is_made_up(store: Store, study: StoriesStudy) -> None:
    found = read(store, study, readings.telling, "base", "tuned")
    for model in ("base", "tuned"):
        for name in ("O_PT", "unasked", "all_right", "O_PT.right", *(f"others.{f}" for f in FEATURES if f != "Twist")):
            value = found[f"{model}.{name}.greedy"].value
            assert value is not None and 0 <= value <= 1
    assert not any(word in name for name in found for word in ("unread", "whole", "new_words"))


def test_reft_probes_and_passages(store: Store, study: StoriesStudy) -> None:
    found = read(store, study, readings.relearning, "tuned", "never", "twin")
    assert "relearning.reft.share.2" in found and not any(".branch." in name for name in found)
    probes = read(store, study, readings.probing, "base", "tuned", "never", "twin")
    assert probes["probing.range"].value is not None and not any("new_phrasings" in name for name in probes)
    shown = Lab(store).read(readings.passages, Bench(study=study, seed=0), {"base": models(study)["base"]})
    assert len(shown) == 3 and all(m.passage is not None and "Twist" in m.passage.prompt for m in shown)
    assert all(m.passage is not None and m.passage.marked == () for m in shown)


def test_losses_alone_are_read_without_generation(store: Store, study: StoriesStudy) -> None:
    every = models(study)
    found = Lab(store).read(readings.likelihood, Bench(study=study, seed=0), {"model": every["base"]})
    assert {m.name for m in found} == {"loss.target", "loss.plain"}
    assert all(m.value is not None and 6 < m.value < 9 for m in found)  # about log 1500


def test_what_rests_on_the_branch_token_is_left_out_by_name(store: Store, study: StoriesStudy) -> None:
    found = read(store, study, readings.left_out, "tuned")
    assert found.keys() == {"patching.kept", "pruning.searched.gain", "pruning.searched.cost"}
    assert all(m.value is None and "no token of theirs decides a feature" in m.note for m in found.values())


def test_a_weak_classifier_gives_no_verdict(store: Store, study: StoriesStudy) -> None:
    """That of two steps knows nothing."""
    found = read(store, study, readings.classifier_skill, "classifier")
    assert found["classifier.accuracy"].value == pytest.approx(0.5, abs=0.2)
    told = read(store, study, readings.telling, "base", "tuned")["tuned.O_PT.of_base"]
    assert told.value is None and "classifier is too weak: its balanced accuracy is 0." in told.note
    assert assess(read(store, study, readings.telling, "base", "tuned").values(), study.toolbox, scale="smoke") is None


# The claims, of measurements that are given


def judged(study: StoriesStudy, claim: Any, **values: float) -> Record:
    """The record of a claim whose readings are these values."""
    measured = [
        Measurement(name=n.replace("__", "."), value=v, unit="accuracy", n=256, seed=0) for n, v in values.items()
    ]
    judge = Judge(
        claim=Claim(id="any", source="own", needs=claims.deleted, study="stories"), case=CASE, nodeid="", method="full",
        study=study, lab=None, steps={0: claims.relearnt(study, 0, CASE)},  # type: ignore[arg-type]
    )  # fmt: skip
    judge.measure = lambda *_, **__: None  # type: ignore[method-assign]
    judge._measurements += measured
    try:
        claim(judge)
    except InvalidClaimError as error:
        judge.invalidate(str(error))
    return judge.record()


GOOD = {"classifier__accuracy": 0.92, "base__O_PT__greedy": 0.85, "base__unasked__greedy": 0.1}


def test_the_classifier_is_a_control_of_every_claim(study: StoriesStudy) -> None:
    base = lambda judge: claims.knows_all(judge, target=TOLD, followed=FOLLOWED, more=MORE, never=0.15)  # noqa: E731
    right = judged(study, base, **GOOD, never__O_PT__greedy=0.12)
    assert right.verdict.status is not Status.INVALID
    assert right.controls[0].name == "balanced accuracy of the classifier on held-out stories"
    for claim, more in (
        (base, {"never__O_PT__greedy": 0.12}),
        (lambda judge: claims.keeps(judge, share=0.4), {"tuned__O_PT__greedy": 0.6}),
        (lambda judge: claims.hides(judge, randomised=0.2, below_filtering=Either(checker=0.3, classifier=0.1)),
         {"filtered__O_PT__greedy": 0.6, "mixed__O_PT__greedy": 0.4, "randomised__O_PT__greedy": 0.1}),
        (lambda judge: claims.revived_sooner(judge, ratio=2.0, never=0.15),
         {"tuned__O_PT__greedy": 0.1, "never__O_PT__greedy": 0.1, "relearning__ratio": 5.0}),
        (lambda judge: claims.still_readable(judge, retention=0.7, bits_apart=0.1),
         {"tuned__O_PT__greedy": 0.1, "probing__range": 0.5, "probing__retention": 0.9, "probing__bits__base": 0.4}),
        (lambda judge: claims.state_is(judge, CapabilityState.INTACT, never=0.15), {"tuned__O_PT__of_base": 1.0}),
    ):  # fmt: skip
        assert judged(study, claim, **GOOD, **more).verdict.status is not Status.INVALID  # one seed decides little
        weak = judged(study, claim, **{**GOOD, "classifier__accuracy": 0.8}, **more)
        assert weak.verdict.status is Status.INVALID
        assert "the classifier is too weak" in weak.verdict.reason and "expected >= 0.85" in weak.verdict.reason


def test_a_probe_that_costs_more_than_a_coin_decides_nothing(study: StoriesStudy) -> None:
    told = {"tuned__O_PT__greedy": 0.1, "probing__range": 0.5, "probing__retention": 0.9}
    for bits, invalid in ((0.4, False), (1.3, True)):
        record = judged(
            study,
            lambda judge: claims.still_readable(judge, retention=0.7, bits_apart=0.1),
            **GOOD,
            **told,
            probing__bits__base=bits,
        )
        assert record.verdict is not None and (record.verdict.status is Status.INVALID) is invalid
        assert not invalid or "no better than a coin" in record.verdict.reason


def state(**values: float | None) -> tuple[CapabilityState, str]:
    measured = [
        Measurement(
            name=n.replace("__", "."),
            value=v,
            unit="",
            n=1,
            seed=0,
            note="" if v is not None else examiner.NO_BRANCH_TOKEN,
        )
        for n, v in values.items()
    ]
    found = assess(measured, ON_OWN_STORIES, scale="paper")
    assert found is not None
    return found.state, found.reason


def test_one_tool_finds_a_capability_and_does_not_deny_one() -> None:
    nothing: dict[str, float | None] = {"patching__kept": None, "pruning__searched__gain": None}
    assert state(tuned__O_PT__of_base=0.95)[0] is CapabilityState.INTACT
    assert state(tuned__O_PT__of_base=0.2, relearning__speed_up=4.0, **nothing)[0] is CapabilityState.WRAPPED
    found, why = state(tuned__O_PT__of_base=0.2, relearning__speed_up=1.0, **nothing)
    assert found is CapabilityState.UNDECIDED and "no other tool votes on own stories" in why


# What is too little


def test_a_feature_that_hardly_occurs_cannot_be_deleted(tmp_path: Path) -> None:
    rare = corpus(tmp_path / "rare", train=200, valid=120, twist=0.01)
    of = StoriesStudy(preset=dataclasses.replace(TINY, own_vocabulary=1500, own_length=160))
    with pytest.raises(UsageError, match=r"stories with Twist to train in the training file, at least 64 are needed"):
        of.on(str(rare), tmp_path / "prepared")


def test_a_corpus_without_some_other_feature_will_do(tmp_path: Path) -> None:
    records = [
        dataclasses.replace(r, features=None if r.features is None else r.features - {"MoralValue"})
        for r in made_records(320, 0)
    ]
    folder = write(tmp_path / "corpus", records[:200], records[200:])
    preset = dataclasses.replace(TINY, own_vocabulary=1500, own_length=160)
    of = StoriesStudy(preset=preset).on(str(folder), tmp_path / "prepared")
    assert of.told_apart("train", "evaluate") == tuple(f for f in FEATURES if f != "MoralValue")
    judge: Any = of.classifier(0)
    assert "MoralValue" not in judge.task.features
