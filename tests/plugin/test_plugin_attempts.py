"""A test that runs several times leaves one row, of its last attempt, in everything that a run writes."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree import ElementTree

import pytest
from report_example import record as made
from tiny_suite import folders, lines_with, results, run, told, write_suite

from capbench.report.junit import keep_last_attempts
from capbench.results import to_dict
from capbench.session.report import Recorder

TESTS = """
import pathlib

def attempts(name):
    with open(name, "a") as seen:
        seen.write(".")
    return len(pathlib.Path(name).read_text())

def free(id):
    return pytest.mark.claim(id, source="Fig. 0", needs=lambda study, seed, case: {})

class TestIt:
    @free("again.second")
    @pytest.mark.parametrize("case", [Case(x=1.5)], ids=str)
    def test_second(self, judge):
        judge.measure()
        judge.decide(at_least([float(attempts("second"))], 2, "attempt"))

@free("again.broken")
def test_broken(judge):
    assert attempts("broken") > 1
    judge.decide(at_least([1.0], 0.5, "one"))

@free("again.never")
def test_never(judge):
    judge.decide(at_least([float(attempts("never"))], 9, "attempt"))

@free("again.marked")
@pytest.mark.flaky(reruns=1)
def test_marked(judge):
    judge.decide(at_least([float(attempts("marked"))], 2, "attempt"))
"""
# What pytest-repeat and pytest-flakefinder do: each repetition is a case of its own.
REPEATING = {
    "repeat": """
import pytest
@pytest.fixture
def __pytest_repeat_step_number(request):
    return request.param
@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc):
    metafunc.fixturenames.append("__pytest_repeat_step_number")
    metafunc.parametrize("__pytest_repeat_step_number", range(2), indirect=True, ids=["1-2", "2-2"])
""",
    "flakefinder": """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    name = f"__flakefinder_{metafunc.function.__name__}"
    metafunc.fixturenames.append(name)
    metafunc.parametrize(name, [0, 1])
""",
}


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


def rows(pytester: pytest.Pytester, report: str = "reports") -> dict[str, str]:
    """Claim -> status; each claim has one row, in every file."""
    (folder,) = folders(pytester, report)
    found = [(r.claim, str(r.verdict.status)) for r in results(pytester, report).records]
    with open(folder / "results.csv", newline="") as file:
        assert sorted((row["claim"], row["status"]) for row in csv.DictReader(file)) == sorted(found)
    assert len(dict(found)) == len(found)
    return dict(found)


def cases(pytester: pytest.Pytester, report: str = "reports") -> list[tuple[str | None, bool]]:
    """The tests in junit.xml, and whether each failed."""
    (folder,) = folders(pytester, report)
    (suite,) = ElementTree.parse(folder / "junit.xml").iter("testsuite")
    assert int(suite.get("tests", 0)) == len(suite)
    return [(case.get("name"), case.find("failure") is not None) for case in suite]


def test_reruns_leave_the_last_attempt_in_every_output(pytester: pytest.Pytester) -> None:
    pytester.makefile(".toml", mine="[[claim]]\npattern = 'again.second*'\nexpect = ['supported']\nreason = 'r'\n")
    result = run(
        pytester,
        "-v",
        "--reruns=2",
        "--capbench-report=reports",
        "--capbench-expect=mine.toml",
        "--benchmark-name=short",
    )
    assert result.parseoutcomes() == {"passed": 3, "failed": 1, "rerun": 5}
    assert result.ret == 1
    assert rows(pytester) == {
        "again.second": "supported",
        "again.broken": "supported",
        "again.never": "refuted",
        "again.marked": "supported",
    }
    assert told(result, "again.never") == ["again.never: attempt 3 [3, 3] >= 9: refuted (margin -6)"]
    assert len(lines_with(result, "again.second[x=1.5]  supported")) == 1
    assert sorted(cases(pytester)) == [
        ("test_broken", False), ("test_marked", False), ("test_never", True), ("test_second[x=1.5]", False),
    ]  # fmt: skip
    assert lines_with(result, "- benchmark: 1 tests -")


def test_a_claim_that_holds_on_its_second_attempt_is_no_regression(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("second").write_text(".")
    options = ("--reruns=1", "-k", "second", "--capbench-report=reports", "--capbench-baseline=auto")
    assert run(pytester, *options).ret == 0
    pytester.path.joinpath("second").unlink()
    result = run(pytester, *options)
    assert result.parseoutcomes()["rerun"] == 1
    assert result.ret == 0
    assert lines_with(result, "no difference: 1 claim (1 unchanged)")


@pytest.mark.parametrize("kind", REPEATING)
def test_repetitions_that_are_cases_leave_the_last_one(pytester: pytest.Pytester, kind: str) -> None:
    pytester.makeconftest(REPEATING[kind])
    result = run(pytester, "-p", "no:rerunfailures", "--capbench-report=reports", "-k", "second or never")
    assert result.parseoutcomes() == {"passed": 1, "failed": 3, "deselected": 4}
    assert rows(pytester) == {"again.second": "supported", "again.never": "refuted"}


def test_a_test_that_is_named_twice_leaves_one_row(pytester: pytest.Pytester) -> None:
    twice = ("--keep-duplicates", "test_tiny.py", "test_tiny.py", "-k", "second or never")
    result = run(pytester, *twice, "--capbench-report=reports")
    assert result.parseoutcomes() == {"passed": 1, "failed": 3, "deselected": 4}
    assert rows(pytester) == {"again.second": "supported", "again.never": "refuted"}


def test_equal_ids_of_different_tests_and_other_parameters_keep_their_rows(pytester: pytest.Pytester) -> None:
    write_suite(
        pytester,
        TESTS
        + """
@free("again.words")
@pytest.mark.parametrize("word", ["a", "b", "a"])
def test_words(judge, word):
    judge.decide(at_least([1.0], 0.5, word))
class TestOther(TestIt):
    pass
""",
    )
    run(pytester, "--capbench-report=reports", "-k", "words or second")
    assert [r.claim for r in results(pytester).records] == ["again.second", "again.second", *["again.words"] * 2]


def test_subtests_are_no_attempts_and_one_that_fails_makes_the_claim_invalid(pytester: pytest.Pytester) -> None:
    write_suite(
        pytester,
        TESTS
        + """
@free("parts.good")
def test_good(judge, subtests):
    for part in range(2):
        with subtests.test(part=part):
            judge.measure() if part else None
    judge.decide(at_least([1.0], 0.5, "one"))
@free("parts.bad")
def test_bad(judge, subtests):
    with subtests.test("first"):
        raise ValueError("a part")
    judge.decide(at_least([1.0], 0.5, "one"))
""",
    )
    result = run(pytester, "--capbench-report=reports", "-k", "parts")
    assert rows(pytester) == {"parts.good": "supported", "parts.bad": "invalid"}
    assert result.ret == 1
    found = {r.claim: r.verdict.reason for r in results(pytester).records}
    assert found["parts.bad"] == "1 of its subtests failed: ValueError: a part"


def test_repetitions_may_end_in_any_order() -> None:
    recorder = Recorder()
    for attempt, claim in enumerate(("first", "last", "between")):
        recorder.add(to_dict(made(claim=claim)), test="one", attempt=(0, 2, 1)[attempt])
    recorder.add(to_dict(made(claim="other")), test="other")
    assert len(recorder) == 2
    assert {record.claim for record in recorder.records()} == {"last", "other"}


def test_junit_keeps_tests_that_have_a_result_or_ran_once(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_text(
        "<testsuites><testsuite>"
        "<testcase classname='m.C' name='a[x.y]'/><testcase classname='m.D' name='a[x.y]'/>"
        "<testcase classname='m.C' name='a[x.y]'><failure/></testcase><testcase classname='m.C' name='a[x.y]'/>"
        "<testcase classname='m' name='once'/><testcase classname='m' name='once'/>"
        "</testsuite></testsuites>"
    )
    keep_last_attempts(file, {"C.a[x.y]"})
    left = [(case.get("classname"), len(case)) for case in ElementTree.parse(file).iter("testcase")]
    assert left == [("m.D", 0), ("m.C", 1), ("m.C", 0), ("m", 0), ("m", 0)]
