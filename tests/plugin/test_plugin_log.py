"""--capbench-log: a run tells a logger of the user's the curves of its models and how it ended; what is none stops it at once."""

from __future__ import annotations

import pytest
from tiny_suite import MAKING, capbench, lines_with, run, write_suite

TESTS = """
@about_method("log.one")
def test_one(judge):
    judge.measure((values, ["tuned"]))
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


def told(pytester: pytest.Pytester) -> list[str]:
    file = pytester.path / "told.txt"
    lines = file.read_text().splitlines()
    file.unlink()
    return lines


def test_curves_come_with_the_models_and_the_margins_at_the_end(pytester: pytest.Pytester) -> None:
    made = capbench(pytester, "train", "test_tiny.py", *MAKING, "--scale=smoke", "--log=mine.py:Log")
    assert made.ret == 0
    curves = sorted(told(pytester))
    assert any(line.startswith("fine-tune ") for line in curves) and any(
        line.startswith("pretrain ") for line in curves
    )
    ended = run(pytester, "--capbench-scale=smoke", "--capbench-log=mine.py:Log")
    ended.assert_outcomes(passed=1)
    *again, end = told(pytester)
    assert sorted(again) == curves  # the models of the cache are told, too
    assert end == "end supported 0.5"


def test_what_is_no_logger_stops_the_run_before_anything_is_made(pytester: pytest.Pytester) -> None:
    ended = run(pytester, "--capbench-scale=smoke", "--capbench-log=mine.py:Missing")
    assert ended.ret == pytest.ExitCode.USAGE_ERROR and not (pytester.path / "cache" / "artefacts").exists()
    assert any("--capbench-log=mine.py:Missing: there is no 'Missing' in it" in line for line in ended.errlines)
    assert not lines_with(ended, "models to make")
