"""Somebody's own stories: the format, tokens on disk, what is drawn from them, and what is said of files that are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_stories import corpus, made_records, write

from capbench.errors import UsageError
from capbench.studies.stories.prepared import stories_in
from capbench.tasks.base import IGNORE, Task
from capbench.tasks.stories.corpus.files import find
from capbench.tasks.stories.corpus.preparing import Counts, prepare
from capbench.tasks.stories.corpus.questions import QuestionTask
from capbench.tasks.stories.corpus.records import END, FIELDS, Record, records
from capbench.tasks.stories.corpus.task import CorpusTask, lengths
from capbench.tasks.stories.corpus.tokenising import NO, SPECIAL, YES, Tokens, question
from capbench.tasks.stories.features import FEATURES
from capbench.tasks.stories.protocols import PROTOCOLS, deletion, finetuning, pretraining

VOCABULARY, LENGTH = 512, 320


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> CorpusTask:
    folder = corpus(tmp_path_factory.mktemp("own") / "corpus", train=200, valid=100)
    return stories_in(str(folder), folder.parent / "prepared", vocab_size=VOCABULARY, seq_len=LENGTH)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(text: str) -> list[Record]:
    return list(records(enumerate(text.split("\n"), 1)))


def texts(task: CorpusTask, n: int = 24) -> list[str]:
    """Strings of one record each, up to the end."""
    batch, _, _ = task.with_features(n, rng())
    ends = lengths(batch)[1].tolist()
    return [task.opened.tokens.decode(row[:end]) for row, end in zip(batch.tokens.tolist(), ends, strict=True)]


# The format


def test_a_record_is_read_whatever_the_order_of_its_fields() -> None:
    (found,) = read(
        "Words: kite, sun\nRandom sentence: It was late.\nFeatures: Twist, Dialogue\nSummary: A kite\nflies.\nStory:\n\n"
        "It rained.\n\nThen not.\n<|endoftext|>\n"
    )
    assert found.features == {"Twist", "Dialogue"} and found.line == 1
    assert found.fields == (("Words", "kite, sun"), ("Random sentence", "It was late."), ("Summary", "A kite flies."))
    assert found.story == "It rained.\n\nThen not."


def test_all_but_the_story_may_be_missing() -> None:
    bare, none = read(f"Story: It rained.{END}\n\nFeatures:\nStory: It snowed.")
    assert (bare.features, bare.fields, bare.story) == (None, (), "It rained.")
    assert none.features == frozenset() and none.line == 3  # it says that there are none


def test_what_stands_in_a_story_is_the_story() -> None:
    (found,) = read(f"Features: Twist\nStory:\nShe read:\nFeatures: Conflict\nStory: a kite <end>\n{END}")
    assert found.features == {"Twist"} and found.story == "She read:\nFeatures: Conflict\nStory: a kite <end>"


@pytest.mark.parametrize("name", ["bad ending", "BadEnding", "BAD-ENDING", "Bad_Ending"])
def test_features_may_be_written_otherwise(name: str) -> None:
    assert read(f"Features: {name} ,twist,\nStory: x")[0].features == {"BadEnding", "Twist"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Features: Twist\nWords: a", "it has no 'Story:'"),
        ("Features: Twist\nStory:  \n\n", "its story is empty"),
        ("Once upon a time\nStory: x", "'Once upon a time' begins no field"),
        ("Features: Twsit\nStory: x", "unknown feature 'Twsit'; known: Foreshadowing, Dialogue"),
    ],
)
def test_what_is_no_record_says_why(text: str, why: str) -> None:
    right, wrong = read(f"Story: fine{END}\n{text}")
    assert not right.wrong and wrong.wrong.startswith(why) and wrong.line == 2


def test_a_text_without_ends_is_one_record_that_is_none() -> None:
    endless, fine = read("Story: x\n" + "on and on\n" * 20_000 + f"{END}\nStory: y{END}")
    assert (
        endless.wrong == "it is longer than 100,000 characters; is there no <|endoftext|> at its end?"
        and endless.line == 1
    )
    assert (fine.story, fine.wrong, fine.line) == ("y", "", 20_003)


words = st.text(st.sampled_from("aZ.,:;|<>\"'é日😀0"), min_size=1, max_size=8) | st.sampled_from(
    ["Story:", "Features:", "<end>"]
)
sentences = st.lists(words, min_size=1, max_size=6).map(" ".join).filter(lambda text: END not in text)
fields = st.lists(st.tuples(st.sampled_from(FIELDS), sentences), max_size=4).map(tuple)
made = st.builds(
    Record,
    features=st.none() | st.frozensets(st.sampled_from(FEATURES)),
    fields=fields.filter(lambda of: not any(":" in value for _, value in of)),
    story=st.lists(sentences, min_size=1, max_size=3).map("\n".join),
)


@settings(max_examples=50)
@given(st.lists(made, max_size=4))
def test_records_that_are_written_are_read_back(of: list[Record]) -> None:
    assert [replace(found, line=0) for found in read("".join(record.text for record in of))] == of


# Tokens on disk


def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "plain", train=20, valid=20)
    windows = tmp_path / "windows"
    windows.mkdir()
    for file in folder.iterdir():
        name = file.name.removeprefix("TinyStories-Instruct-")
        (windows / name).write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    for each in (folder, windows):
        (each / "out").mkdir()
        prepare(find(each), each / "out", vocab_size=VOCABULARY, seq_len=LENGTH)
    for file in (folder / "out").iterdir():
        assert file.read_bytes() == (windows / "out" / file.name).read_bytes()


def test_any_text_has_tokens_and_comes_back(stories: CorpusTask) -> None:
    tokens = stories.opened.tokens
    text = "Zoë said: “<end> 日本”\n\n\tx <Twist?> "
    assert tokens.decode(tokens.encode([text])[0]) == text
    assert min(tokens.encode([text])[0]) >= len(SPECIAL)
    assert isinstance(tokens, Tokens) and len(tokens) == stories.vocab_size <= VOCABULARY


def test_stories_that_are_in_both_files_are_dropped_from_the_held_out_ones(tmp_path: Path) -> None:
    train, valid = made_records(60, 0), made_records(40, 1)
    leaked = [replace(r, story=r.story.upper().replace(" ", "  "), features=None) for r in train[:7]]
    folder = write(tmp_path, train, [*valid, *leaked, *valid[:3]])
    (out := tmp_path / "out").mkdir()
    prepare(find(folder), out, vocab_size=VOCABULARY, seq_len=LENGTH)
    counts = Counts.read(out)
    assert (counts["valid"].repeated, counts["valid"].records, counts["train"].records) == (10, 40, 60)


def test_records_that_are_too_long_are_counted(tmp_path: Path) -> None:
    long = Record(features=frozenset(), story="again " * 400)
    folder = write(tmp_path, [*made_records(40, 0), long], made_records(20, 1))
    (out := tmp_path / "out").mkdir()
    prepare(find(folder), out, vocab_size=VOCABULARY, seq_len=LENGTH)
    found = Counts.read(out)["train"]
    assert (found.long, found.records) == (1, 40) and found.longest <= LENGTH


# What is drawn


def test_a_string_is_record_after_record(stories: CorpusTask) -> None:
    batch = stories.sample(8, rng())
    assert batch.tokens.shape == batch.targets.shape == (8, LENGTH) and isinstance(stories, Task)
    assert torch.equal(batch.tokens, stories.sample(8, rng()).tokens)
    for tokens, targets in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        following = [*tokens[1:], targets[-1]]
        assert all(target in (IGNORE, after) for target, after in zip(targets, following, strict=True))
        text = stories.opened.tokens.decode(
            [token for token, target in zip(following, targets, strict=True) if target >= 0]
        )
        assert (
            "Summary:" not in text[:-20] and "Words:" not in text[:-20]
        )  # blocks are no targets; the last token may be of one
        whole = stories.opened.tokens.decode(tokens)
        assert whole.count("Story:\n") >= 1 and whole.startswith(("Features:", "Words:"))
    assert (batch.targets[:, stories.answer_pos] != IGNORE).all()


def test_one_story_a_string_ends_where_it_ends(stories: CorpusTask) -> None:
    batch, told, asked = stories.with_features(40, rng())
    block, end = lengths(batch)
    assert torch.equal(told, asked) and told.shape == (40, 6)
    for row, start, stop, has in zip(batch.tokens, block.tolist(), end.tolist(), told.tolist(), strict=True):
        text = stories.opened.tokens.decode(row[:start].tolist())
        assert text.endswith("Story:\n") and (row[stop:] == 0).all() and row[stop - 1] != 0
        named = text.partition("\n")[0].removeprefix("Features: ").split(", ") if text.startswith("Features:") else []
        assert sorted(named) == sorted(f for f, there in zip(FEATURES, has, strict=True) if there)


def test_splits_have_no_story_in_common(stories: CorpusTask) -> None:
    drawn = {}
    for split in ("train", "select", "evaluate"):
        n = len(replace(stories, split=split)._records(said=True))
        drawn[split] = {text.split("Story:")[1] for text in texts(replace(stories, split=split), n)}
        assert len(drawn[split]) >= 0.95 * n
    assert not drawn["train"] & drawn["select"] and not drawn["train"] & drawn["evaluate"]
    assert not drawn["select"] & drawn["evaluate"] and abs(len(drawn["select"]) - len(drawn["evaluate"])) < 12


def test_shares_are_all_or_none_and_of_records_that_say_their_features(stories: CorpusTask) -> None:
    for share in (0.0, 1.0):
        _, told, _ = replace(stories, shares={"Twist": share}).with_features(50, rng())
        assert (told[:, FEATURES.index("Twist")] == bool(share)).all()
        records_ = replace(stories, shares={"Twist": share})._records(said=False)
        assert (stories.opened.train.features[records_] >= 64).all()
    _, even, _ = replace(stories, even="Conflict").with_features(50, rng())
    assert even[:, FEATURES.index("Conflict")].sum() == 25
    with pytest.raises(UsageError, match=r"share of Twist 0.5 must be 0 or 1"):
        replace(stories, shares={"Twist": 0.5})


def test_protocols_are_those_of_made_stories(stories: CorpusTask) -> None:
    twist, omen = FEATURES.index("Twist"), FEATURES.index("Foreshadowing")
    for protocol in PROTOCOLS:
        given_ = finetuning(protocol, of=stories)
        assert given_.target.sample(2, rng()).tokens.shape == (2, LENGTH)
        assert given_.forget.shares == {"Twist": 1.0} and given_.retain.shares == {}  # type: ignore[union-attr]
    mixed = deletion("mix-match", of=stories).parts[1]  # type: ignore[attr-defined]
    _, told, asked = mixed.with_features(20, rng())
    assert told[:, omen].all() and not told[:, twist].any() and asked[:, twist].all() and not asked[:, omen].any()
    wrong = deletion("randomisation", of=stories).parts[1]  # type: ignore[attr-defined]
    _, told, asked = wrong.with_features(20, rng())
    assert not told[:, twist].any() and asked[:, twist].all()
    assert all("Twist" in text.partition("\n")[0] for text in texts(wrong))
    assert not any(text.startswith("Features") for text in texts(replace(stories, withheld=1.0)))
    never: CorpusTask = pretraining(stories, never="Twist")  # type: ignore[assignment]
    assert never.withheld == 0.1 and never.shares == {"Twist": 0.0}


def test_questions_are_balanced_and_have_one_answer(stories: CorpusTask) -> None:
    task = QuestionTask(stories=stories, seq_len=LENGTH)
    batch = task.sample(600, rng())
    places = (batch.targets != IGNORE).nonzero()
    assert places[:, 0].tolist() == list(range(600))
    answers = batch.targets[places[:, 0], places[:, 1]]
    asked = batch.tokens[places[:, 0], places[:, 1]]
    for feature in FEATURES:
        yes = answers[asked == question(feature)] == YES
        assert 60 < len(yes) < 140 and abs(int(yes.sum()) - len(yes) / 2) <= 0.5
    assert set(answers.tolist()) == {YES, NO}


def test_the_answers_are_those_of_the_blocks(stories: CorpusTask) -> None:
    task = QuestionTask(stories=stories, seq_len=LENGTH)
    found, has = task.labelled("Twist", 40, np.random.default_rng(0))
    from capbench.tasks.stories.checker import check

    tokens = stories.opened.tokens
    assert [("Twist" in check(tokens.decode(story)).features) for story in found] == has.tolist()
    assert has.sum() == 20


# Files that are none


def said(folder: Path) -> str:
    with pytest.raises(UsageError) as error:
        stories_in(str(folder), folder.parent / "prepared", vocab_size=VOCABULARY, seq_len=LENGTH)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_folders_that_hold_no_stories_are_refused(tmp_path: Path) -> None:
    assert "there is no such folder in" in said(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    assert "has no TinyStories-Instruct-train.txt, nor train.txt; it holds nothing" in said(tmp_path / "empty")
    folder = corpus(tmp_path / "half", train=5, valid=5)
    (folder / "TinyStories-Instruct-valid.txt").rename(folder / "validation.txt")
    assert "has no TinyStories-Instruct-valid.txt, nor valid.txt; it holds TinyStories-Instruct-tr" in said(folder)
    assert "is a file; give the folder" in said(folder / "validation.txt")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        ("Story: x".encode("utf-16"), "is UTF-16, not UTF-8"),
        (b"Story: x\nS\0t\0", "a zero byte in line 2"),
        ("Story: Zoë".encode("latin-1"), "is not UTF-8 (byte 0xeb after line 0)"),
        (b"\n\n \n", "no record; it is blank"),
        (
            b"Once upon a time\nthere was\n<|endoftext|>\n",
            "1 of 1 records are not in the format of TinyStories-Instruct; the record in line 1: 'Once upon a time' begins",
        ),
        (b"Features: Twsit\nStory: x<|endoftext|>\n" * 50, "50 of 50 records are not in the format"),
    ],
)
def test_files_that_hold_no_stories_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    folder = corpus(tmp_path / "corpus", train=5, valid=5)
    (folder / "TinyStories-Instruct-train.txt").write_bytes(content)
    assert words in said(folder)
    assert not list((tmp_path / "prepared").glob("*/counts.json")) if (tmp_path / "prepared").exists() else True


def test_stories_that_are_all_too_long_or_all_known_are_refused(tmp_path: Path) -> None:
    long = [Record(features=frozenset(), story="again and again " * 200)] * 30
    assert "30 of 35 records are longer than the 320 tokens of a model" in said(
        write(tmp_path / "long", [*long, *made_records(5, 0)], made_records(5, 1))
    )
    same = made_records(20, 0)
    assert "all 20 stories are in the training file too" in said(write(tmp_path / "same", same, same))


def test_a_vocabulary_without_room_is_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus", train=5, valid=5)
    with pytest.raises(UsageError, match="a vocabulary of 100 tokens: must be from 329 to 65536"):
        stories_in(str(folder), tmp_path / "prepared", vocab_size=100, seq_len=LENGTH)
