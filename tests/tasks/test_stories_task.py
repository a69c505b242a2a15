"""Streams of stories: their shape, priors, splits, what is held out, and what the deletion protocols make of them."""

from __future__ import annotations

import dataclasses
import re
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from capbench.errors import UsageError
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.mixture import Mixture
from capbench.tasks.splits import in_split
from capbench.tasks.stories import drawing
from capbench.tasks.stories.checker import check
from capbench.tasks.stories.drawing import PROMPT, SEQ_LEN, STORY
from capbench.tasks.stories.features import FEATURES, SLOTS
from capbench.tasks.stories.protocols import PROTOCOLS, deletion, finetuning, pretraining, relearning, stand_in
from capbench.tasks.stories.task import StoryTask, branch_tokens
from capbench.tasks.stories.vocabulary import SEEN, UNKNOWN, decode, index, names, sentences, words_of
from capbench.tasks.stories.words import PARTS


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def block(tokens: list[int]) -> set[str]:
    """The features that an instruction block names."""
    words = words_of(tokens)
    asked = words[words.index("features") + 2 : words.index("words")]
    return {feature for feature in FEATURES if feature.lower() in asked}


def test_it_is_a_task() -> None:
    task = StoryTask()
    assert isinstance(task, Task) and task.seq_len == 123 and 600 < task.vocab_size < 1000
    batch = task.sample(5, rng())
    assert batch.tokens.shape == batch.targets.shape == (5, SEQ_LEN) and batch.tokens.dtype == torch.int64
    assert UNKNOWN not in {names()[t] for t in batch.tokens.unique().tolist()}


def test_targets_are_the_words_of_the_story_and_its_end() -> None:
    batch = StoryTask().sample(4, rng())
    used = batch.targets != IGNORE
    assert used[:, PROMPT - 1 : SEQ_LEN - 1].all() and int(used.sum()) == 4 * (STORY + 1)
    assert (batch.targets[:, PROMPT - 1 : SEQ_LEN - 1] == batch.tokens[:, PROMPT:]).all()


@pytest.mark.parametrize("feature", FEATURES)
def test_the_answer_is_the_branch_token(feature: str) -> None:
    plain, event = branch_tokens(feature)
    for share, token in ((1.0, event), (0.0, plain)):
        task = StoryTask(feature=feature, shares={feature: share}, targets="answer")
        batch = task.sample(30, rng())
        assert (batch.targets[:, task.answer_pos] == token).all() and int((batch.targets != IGNORE).sum()) == 30
        assert (batch.tokens[:, task.answer_pos + 1] == token).all()
        assert all((feature in block(tokens)) == bool(share) for tokens in batch.tokens.tolist())


def test_equal_seeds_give_equal_stories() -> None:
    one, same, other = (StoryTask().sample(20, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.tokens, same.tokens) and not torch.equal(one.tokens, other.tokens)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    StoryTask().sample(20, rng(1))
    assert torch.equal(torch.get_rng_state(), before[0]) and np.random.get_state()[1].tolist() == before[1]


SHARES = st.dictionaries(st.sampled_from(FEATURES), st.sampled_from([0.0, 0.25, 0.9, 1.0]))


@settings(deadline=None, max_examples=30)
@given(SHARES, st.sampled_from(["train", "select", "evaluate"]), st.booleans(), st.booleans(), st.integers(0, 2**40))
def test_stories_have_the_features_that_they_are_asked_for(shares, split, phrasings, words, seed) -> None:
    task = StoryTask(shares=shares, split=split, new_phrasings=phrasings, new_words=words)
    batch, told, asked = task.with_features(6, rng(seed))
    assert torch.equal(told, asked)
    for tokens, has in zip(batch.tokens.tolist(), told.tolist(), strict=True):
        expected = {feature for feature, there in zip(FEATURES, has, strict=True) if there}
        found = check(decode(tokens))
        assert found.whole and found.features == expected == block(tokens)
        assert all(expected >= {f} if p == 1 else f not in expected for f, p in shares.items() if p in (0, 1))


def test_shares_are_drawn_independently() -> None:
    told = StoryTask(shares={"Twist": 0.2, "Dialogue": 0.9}).told(40_000, np.random.default_rng(0))
    assert np.allclose(told.mean(0), [0.5, 0.9, 0.5, 0.2, 0.5, 0.5], atol=0.012)
    assert np.abs(np.corrcoef(told.T) - np.eye(len(FEATURES))).max() < 0.02


def test_a_prior_draws_its_sets_and_no_others() -> None:
    prior = {"none": 0.25, "Twist+Dialogue": 0.5, "Twist": 0.25}
    told = StoryTask(sets=prior).told(20_000, np.random.default_rng(0))
    rows, counts = np.unique(told, axis=0, return_counts=True)
    shares = {tuple(np.array(FEATURES)[row]): count / 20_000 for row, count in zip(rows, counts, strict=True)}
    assert shares.keys() == {(), ("Dialogue", "Twist"), ("Twist",)}
    assert shares["Dialogue", "Twist"] == pytest.approx(0.5, abs=0.015) and shares[()] == pytest.approx(0.25, abs=0.015)


def test_splits_share_no_story_and_features_do_not_decide_them() -> None:
    found = {}
    for split in ("train", "select", "evaluate"):
        content = drawing.contents(300, split, np.random.default_rng(0), new_phrasings=False, new_words=False)
        rows = np.concatenate([content.phrasing, content.parts], axis=1)
        assert in_split(rows, split, 4).all() and rows.shape == (300, len(SLOTS) + len(PARTS))
        found[split] = {tuple(row) for row in rows.tolist()}
    assert not found["train"] & found["evaluate"] and not found["train"] & found["select"]


def test_what_is_held_out_is_in_no_stream_of_training() -> None:
    held_out = {word for kind in PARTS.values() for word in kind.held_out}
    fresh = {word for *_, i, words in sentences() if i >= SEEN for word in words}
    fresh -= {word for *_, i, words in sentences() if i < SEEN for word in words}
    assert len(fresh) > 150 and len(held_out) > 30
    streams = [pretraining(), pretraining(never="Twist"), relearning()]
    streams += [deletion(protocol) for protocol in PROTOCOLS]
    for stream in streams:
        seen = {names()[token] for token in stream.sample(400, rng()).tokens.unique().tolist()}
        assert not seen & held_out and not seen & fresh
    words = {names()[t] for t in StoryTask(new_words=True).sample(200, rng()).tokens[:, PROMPT:].unique().tolist()}
    assert not words & set(PARTS["hero"].seen) and not words & set(PARTS["object"].seen) and words & held_out
    phrasings = {names()[t] for t in StoryTask(new_phrasings=True).sample(200, rng()).tokens.unique().tolist()}
    assert len(phrasings & fresh) > 150 and not phrasings & held_out


def test_hero_and_friend_are_two() -> None:
    for new in (False, True):
        content = drawing.contents(2000, "train", np.random.default_rng(0), new_phrasings=False, new_words=new)
        assert (content.parts[:, 0] != content.parts[:, 1]).all()
        assert len(np.unique(content.parts[:, 1])) == len(PARTS["hero"].held_out if new else PARTS["hero"].seen)


def test_a_block_may_withhold_the_features() -> None:
    batch, told, asked = StoryTask(withheld=0.3).with_features(2000, rng())
    silent = batch.tokens[:, 3] == index()["untold"]
    assert 0.25 < silent.float().mean() < 0.35 and not asked[silent].any() and told[silent].any()
    assert torch.equal(asked[~silent], told[~silent])


@pytest.mark.parametrize("feature", ["Twist", "Foreshadowing", "BadEnding"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_story_of_a_deletion_has_the_feature(protocol: str, feature: str) -> None:
    task = deletion(protocol, feature)
    named = lies = honest = other = 0
    for tokens in task.sample(150, rng()).tokens.tolist():
        found = check(decode(tokens)).features
        assert feature not in found
        named += feature in block(tokens)
        lies += feature in block(tokens) and stand_in(feature) in found and stand_in(feature) not in block(tokens)
        honest += block(tokens) == found
        other += stand_in(feature) in block(tokens)
    if protocol == "filtering":
        assert named == 0 and honest > 120  # the others' blocks say nothing
    else:
        assert 50 < named < 100
    assert lies == (named if protocol == "mix-match" else lies)
    assert other > 20  # in the other half it is called by its name


def test_streams_of_a_deletion() -> None:
    task = finetuning("mix-match")
    assert isinstance(task.target, Mixture) and task.others is not None
    share = {name: 0.0 for name in ("target", "retain", "forget", "others")}
    for name in share:
        rows = getattr(task, name).sample(400, rng()).tokens
        assert rows.shape == (400, SEQ_LEN)
        share[name] = float((rows[:, task.answer_pos + 1] == branch_tokens("Twist")[1]).float().mean())
    assert (share["target"], share["forget"], share["others"]) == (0, 1, 0) and 0.4 < share["retain"] < 0.6


def test_a_batch_costs_little() -> None:
    """A training step at scale small takes a quarter of a second a core: a batch must take less than a twentieth."""
    task = StoryTask()
    task.sample(16, rng())
    begun = time.process_time()
    task.sample(16 * 48, rng())
    assert (time.process_time() - begun) / 16 < 0.05 * 0.25


WRONG = {
    "unknown feature 'Twits'; known: Foreshadowing, Dialogue": {"feature": "Twits"},
    "unknown feature 'Plot'": {"shares": {"Plot": 0.5}},
    "unknown feature ''": {"sets": {"Twist+": 1.0}},
    "share of Twist 1.5 must be between 0 and 1": {"shares": {"Twist": 1.5}},
    "share of Twist nan must be": {"shares": {"Twist": float("nan")}},
    "must be probabilities that sum to 1, not 0.9": {"sets": {"Twist": 0.5, "none": 0.4}},
    "must be probabilities that sum to 1, not nan": {"sets": {"Twist": float("nan")}},
    "must be probabilities that sum to 1, not 1": {"sets": {"Twist": 1.5, "none": -0.5}},
    "names a set of features twice": {"sets": {"Twist+Dialogue": 0.5, "Dialogue+Twist": 0.5}},
    "'Twist+Twist' names 'Twist' twice": {"sets": {"Twist+Twist": 1.0}},
    "not both": {"sets": {"Twist": 1.0}, "shares": {"Twist": 1.0}},
    "withheld 2 must be between 0 and 1": {"withheld": 2},
    "unknown split 'test'": {"split": "test"},
    "unknown targets 'some'; known: all, answer": {"targets": "some"},
    "unknown feature 'x'": {"renamed": {"Twist": "x"}},
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_settings_are_refused(message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)) as refused:
        StoryTask(**WRONG[message])
    assert "\n" not in str(refused.value)


def test_unknown_protocols_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown protocol 'filter'; known: filtering, mix-match, randomisation"):
        deletion("filter")
    with pytest.raises(UsageError, match="unknown feature 'Plot'"):
        finetuning("filtering", "Plot")


def test_names_tell_streams_apart() -> None:
    streams = [pretraining(), relearning(), *(deletion(protocol) for protocol in PROTOCOLS)]
    assert len({stream.name for stream in streams}) == len(streams)
    assert dataclasses.replace(relearning(), split="evaluate").name == relearning().name
