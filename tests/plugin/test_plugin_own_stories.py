"""--capbench-data: claims about stories on the user's own, from the option to the verdict, and where that cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from own_stories import corpus, made_records, write
from tiny_stories import TINY
from tiny_suite import lines_with, results, run, told, trained, write_suite

from capbench.studies.stories import preset

SUITE = """
from capbench.studies.stories.claims import base, deleted, keeps, knows_all
from capbench.studies.stories.known import needs as known
from capbench.studies.stories.thresholds import FOLLOWED, MORE, TOLD

@pytest.mark.claim("stories.base", source="App. B.3", study="stories", needs=base, uses_method=False)
def test_base(judge):
    knows_all(judge, target=TOLD, followed=FOLLOWED, more=MORE, never=0.15)

@pytest.mark.claim("stories.calibration", source="Def. 1", study="stories", needs=known, uses_method=False)
def test_known(judge):
    raise AssertionError

@pytest.mark.claim("other.claim", source="Fig. 0", needs=lambda study, seed, case: {}, uses_method=False)
def test_other(judge):
    judge.measure()
    judge.decide(at_least([1.0], 0.5, "one"))
"""


@pytest.fixture(autouse=True)
def tiny(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A suite at a scale that costs nothing, and a folder of stories beside it."""
    monkeypatch.chdir(pytester.path)
    made = dataclasses.replace(TINY, own_vocabulary=1500, own_length=160, classifier_steps=2)
    monkeypatch.setitem(preset.PRESETS, "smoke", lambda: made)  # type: ignore[misc]
    write_suite(pytester, SUITE)
    return corpus(pytester.path / "mine", train=200, valid=120)


def own(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return run(pytester, "--capbench-scale=smoke", "--capbench-seeds=1", "-rs", *options)


@pytest.mark.slow
def test_claims_are_tried_on_the_stories_of_a_folder(pytester: pytest.Pytester, tiny: Path) -> None:
    result = own(pytester, "--capbench-data=mine", "--capbench-report=reports")
    assert lines_with(result, "capbench: reading the stories in", "mine")
    assert lines_with(result, "stories to train on,", "held out")
    assert lines_with(result, "SKIPPED", "own stories have no such word")
    (record,) = told(result, "stories.base")
    assert "INVALID" in record or "invalid" in record
    assert lines_with(result, "stories.base: invalid", "the classifier is too weak")
    (found,) = [r for r in results(pytester).records if r.claim == "stories.base"]
    assert found.task == "own stories without Twist" and len(found.protocol["stories"]) == 12
    names = {m.name for m in found.measurements}
    assert {"classifier.accuracy", "classifier.sensitivity", "classifier.specificity", "base.O_PT.greedy"} <= names
    assert set(found.artefacts) == {"base/0", "never/0", "classifier/0"}
    assert (pytester.path / "cache" / "stories").is_dir()


def test_files_that_cannot_be_used_end_the_run_before_anything_is_made(pytester: pytest.Pytester, tiny: Path) -> None:
    result = own(pytester, "--capbench-data=gone")
    assert (
        lines_with(result, "--capbench-data=gone: there is no such folder in")
        and result.ret == pytest.ExitCode.USAGE_ERROR
    )
    (pytester.path / "mine" / "TinyStories-Instruct-train.txt").write_text("Features: Twsit\nStory: x\n")
    result = own(pytester, "--capbench-data=mine")
    assert lines_with(result, "--capbench-data=", "unknown feature 'Twsit'; known: Foreshadowing")
    assert result.ret == pytest.ExitCode.USAGE_ERROR and not lines_with(result, "Traceback") and trained(pytester) == 0
    write(pytester.path / "mine", made_records(200, 0, twist=0.01), made_records(120, 1))
    assert lines_with(
        own(pytester, "--capbench-data=mine"), "--capbench-data=", "stories with Twist to train", "at least 64"
    )


def test_stories_that_no_test_is_about_are_refused(pytester: pytest.Pytester, tiny: Path) -> None:
    result = own(pytester, "--capbench-data=mine", "test_tiny.py::test_other")
    assert lines_with(
        result, "no test that was collected is about stories; run suites/stories with --capbench-extended"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    own(pytester, "test_tiny.py::test_other").assert_outcomes(passed=1)
