"""Checking a folder of stories: what is said of a good one, of one with defects, and of none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli_runs import run
from own_stories import corpus, made_records, write

from capbench.tasks.stories.corpus.records import Record


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPBENCH_CACHE", str(tmp_path / "cache"))


def test_a_folder_is_described_in_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    corpus(Path("mine"), train=200, valid=120)
    ended = run(capsys, "check-data", "mine", "--scale=smoke")
    assert (ended.code, ended.err) == (0, "") and ended.out.count("\n") < 12
    for words in (
        "200 records to train on",
        "120 records held out",
        "Twist 0.",
        "of a vocabulary of",
        "mine: nothing wrong",
    ):
        assert words in ended.out
    assert len(list(Path("cache/stories").glob("*/counts.json"))) == 1


def test_what_is_dropped_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    train, valid = made_records(300, 0), made_records(120, 1)
    odd = [Record(features=None, story="on and on " * 400), replace(valid[0], story="x", features=None)]
    write(Path("mine"), [*train, *odd], [*valid, *train[:3]])
    with Path("mine/TinyStories-Instruct-train.txt").open("a") as file:
        file.write("Features: Twsit\nStory: x\n")
    ended = run(capsys, "check-data", "mine", "--scale=smoke")
    assert ended.code == 0
    (line,) = [line for line in ended.out.splitlines() if " dropped " in line]
    assert line.startswith("note") and "1 records longer than a model reads" in line
    assert "1 not in the format (the record in line" in line and "unknown feature 'Twsit'" in line
    assert "3 held-out ones whose story was there before" in line


def test_too_few_stories_with_the_target_fail(capsys: pytest.CaptureFixture[str]) -> None:
    corpus(Path("mine"), train=200, valid=60, twist=0.02)
    ended = run(capsys, "check-data", "mine", "--scale=smoke")
    assert ended.code == 1 and "FAIL  target" in ended.out and "1 of 7 checks failed" in ended.out
    assert "stories with Twist to train in the training file, at least 64 are needed" in ended.out


def test_what_is_no_folder_of_stories_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "check-data", "gone")
    assert ended.code == 2 and ended.err.startswith("capbench: error: gone: there is no such folder")
    assert ended.err.count("\n") == 1
    ended = run(capsys, "check-data", "gone", "--scale=huge")
    assert ended.code == 2 and "--scale=huge: unknown scale" in ended.err
