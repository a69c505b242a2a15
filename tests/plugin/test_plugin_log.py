"""--capbench-log: a run tells a logger of the user's the curves of its models and how it ended; what is none stops it at once."""

from __future__ import annotations

import pytest
from tiny_suite import lines_with, run, write_suite

TESTS = """
@about_base("log.one")
def test_one(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "the one"))
"""
MINE = """
class Log:
    def curve(self, model, name, points):
        with open("told.txt", "a") as out:
            print(model, name, len(points), file=out)
    def end(self, results):
        with open("told.txt", "a") as out:
            print("end", results.records[0].verdict.status, results.records[0].verdict.margin, file=out)
"""


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    pytester.path.joinpath("mine.py").write_text(MINE)


def test_curves_come_with_the_models_and_the_margins_at_the_end(pytester: pytest.Pytester) -> None:
    ended = run(pytester, "--capbench-scale=smoke", "--capbench-seeds=1", "--capbench-log=mine.py:Log")
    ended.assert_outcomes(passed=1)
    *curves, end = (pytester.path / "told.txt").read_text().splitlines()
    assert curves and all(line.startswith("pretrain ") for line in curves)
    assert end == "end supported 0.5"


def test_what_is_no_logger_stops_the_run_before_anything_is_made(pytester: pytest.Pytester) -> None:
    ended = run(pytester, "--capbench-scale=smoke", "--capbench-log=mine.py:Missing")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR and not (pytester.path / "cache" / "artefacts").exists()
    assert any("--capbench-log=mine.py:Missing: there is no 'Missing' in it" in line for line in ended.errlines)
    assert not lines_with(ended, "models to make")
