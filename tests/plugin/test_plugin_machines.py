"""Runs where a plugin of pytest is absent, or where pytest shows something only: a report, and no internal error."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable

import pytest
from tiny_suite import folders, is_usage_error, lines_with, results, run, trained, write_suite

TESTS = """
@about_base("opt.claim")
def test_claim(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "one"))
"""
OTHERS = ("tmpdir", "warnings", "logging", "faulthandler", "benchmark", "rerunfailures", "subtests")


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


@pytest.mark.parametrize("absent", [["capture"], ["skipping"], [*OTHERS, "capture", "skipping"]], ids="+".join)
def test_a_run_without_plugins_of_pytest_decides_the_same(pytester: pytest.Pytester, absent: list[str]) -> None:
    result = run(pytester, *(f"-pno:{name}" for name in absent), "--capbench-seeds=1")
    assert result.ret == 0
    assert not lines_with(result, "INTERNALERROR") and not lines_with(result, "Traceback")
    assert lines_with(result, "1 of 1 claim supported.")


@pytest.mark.parametrize("name", ["junitxml", "terminal"])
def test_a_report_is_written_without_the_plugins_that_take_part_in_it(pytester: pytest.Pytester, name: str) -> None:
    result = run(pytester, "-p", f"no:{name}", "--capbench-seeds=1", "--capbench-report=reports")
    assert result.ret == 0
    assert [str(r.verdict.status) for r in results(pytester).records] == ["supported"]
    (folder,) = folders(pytester)
    assert (folder / "junit.xml").exists() == (name != "junitxml")


def test_without_a_terminal_a_failure_is_told_on_the_error_output_and_in_the_exit_code(
    pytester: pytest.Pytester,
) -> None:
    options = ("-p", "no:terminal", "--capbench-report=reports", "--capbench-baseline=auto")
    good = run(pytester, *options)
    assert (good.ret, good.errlines) == (0, [])
    write_suite(pytester, TESTS.replace('judge["one"]', '[-v for v in judge["one"]]') + "    pytest.fail('')\n")
    assert [line for line in run(pytester, *options).errlines if "regression" in line] != []


@pytest.mark.parametrize(
    "option", ["--setup-plan", "--setup-only", "--markers", "--fixtures", "--fixtures-per-test", "--version", "--help"]
)
def test_what_is_only_shown_makes_nothing_and_writes_nothing(pytester: pytest.Pytester, option: str) -> None:
    result = run(pytester, option, "--capbench-report=reports", "--capbench-baseline=auto")
    assert result.ret == 0
    assert not lines_with(result, "capbench: models made")
    assert trained(pytester) == 0
    assert not pytester.path.joinpath("reports").exists()


MARKED = """
calls = []

@about_base("free.first")
def test_first(judge):
    calls.append(1)
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "one"))

def high(study, seed, case):
    return {"base": tiny(study).base(seed, prior="high")}

def unneeded(id):
    return about_base(id, needs=high)

@unneeded("marked.skip")
@pytest.mark.skip(reason="never")
def test_skip(judge): pass

@unneeded("marked.skipif")
@pytest.mark.skipif(True, reason="never")
def test_skipif(judge): pass

@unneeded("marked.xfail")
@pytest.mark.xfail(run=False)
def test_xfail(judge): pass

@unneeded("marked.wrong")
@pytest.mark.skipif("no_such_name")
def test_wrong(judge): pass

@pytest.mark.skip
class TestClass:
    @unneeded("marked.class")
    def test_one(self, judge): pass

@unneeded("marked.case")
@pytest.mark.parametrize("case", [pytest.param(Case(x=1), marks=pytest.mark.skip)])
def test_case(judge): pass
"""
LATE = """
@unneeded("marked.late")
@pytest.mark.skipif("not calls")
def test_late(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "one"))
"""


def test_no_model_is_made_for_a_test_that_its_marks_let_not_run(pytester: pytest.Pytester) -> None:
    write_suite(pytester, MARKED)
    pytester.path.joinpath("test_module.py").write_text(
        "import pytest\nfrom test_tiny import *\npytestmark = pytest.mark.skip\n"
    )
    pytester.path.joinpath("test_not_at_all.py").write_text("import pytest\npytest.skip(allow_module_level=True)\n")
    result = run(pytester, "--capbench-seeds=1")
    result.assert_outcomes(passed=1, skipped=4 + 6 + 1, xfailed=1, errors=2)
    assert lines_with(result, "capbench: 2 of 2 models to make (2 training steps)")
    without = run(pytester, "--capbench-seeds=1", "-k", "marked.xfail", "--runxfail", "test_tiny.py")
    assert lines_with(without, "capbench: 1 of 2 models to make")


def test_a_test_that_runs_after_all_has_its_models(pytester: pytest.Pytester) -> None:
    write_suite(pytester, MARKED + LATE)
    result = run(pytester, "--capbench-seeds=1", "-k", "first or late", "-rA")
    result.assert_outcomes(passed=2, deselected=6)


def refusing(code: int) -> Callable[[int, int], None]:
    def flock(descriptor: int, operation: int) -> None:
        if not operation & fcntl.LOCK_UN:
            raise OSError(code, os.strerror(code))

    return flock


@pytest.mark.parametrize("by_option", [True, False])
def test_a_cache_whose_files_cannot_be_locked_is_one_line_that_says_how_it_was_given(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    monkeypatch.setenv("CAPBENCH_CACHE", "elsewhere")
    result = run(pytester) if by_option else pytester.runpytest_inprocess("--capbench-jobs=1")
    name = "--capbench-cache=cache" if by_option else "CAPBENCH_CACHE=elsewhere"
    assert is_usage_error(result, f"ERROR: {name}: cannot use ", "cannot be locked (No locks available)")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_cache_on_a_full_disk_is_one_line_that_says_how_it_was_given(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", refusing(code))
    (line,) = lines_with(result := run(pytester), "nothing was tested")
    assert os.strerror(code) in line and "(--capbench-cache=cache)" in line
    assert result.ret == 1


@pytest.mark.parametrize("name", ["capbench", "capbench.plugin.plugin"])
def test_the_plugin_can_be_named_where_plugins_are_not_loaded_by_themselves(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    write_suite(pytester, TESTS)
    pytester.makefile(".ini", pytest="[pytest]\naddopts = -p no:cacheprovider\n")
    result = run(pytester, "-p", name, "--capbench-seeds=1")
    result.assert_outcomes(passed=1)


def test_the_plugin_s_name_is_harmless_where_it_is_loaded_anyway(pytester: pytest.Pytester) -> None:
    assert run(pytester, "-p", "capbench", "--collect-only").ret == 0
