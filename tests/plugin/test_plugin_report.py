"""The report of a run: one new folder with every file, the table at the end, and what is left when a run goes wrong."""

from __future__ import annotations

import csv
import json
import shutil
import xml.etree.ElementTree as ET

import pytest
from tiny_suite import folders, lines_with, record, results, run, told, write_suite

from capbench.report import load

TESTS = """
import os, shutil

@about_base("rep.yes")
def test_yes(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "the one"))

@about_base("rep.no")
def test_no(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 1.5, "the one"))

@about_base("rep.third")
def test_third(judge):
    judge.measure((values, ["base"]))
    if os.environ.get("TINY") == "interrupt":
        raise KeyboardInterrupt
    if os.environ.get("TINY") == "replace":
        shutil.rmtree("reports")
        open("reports", "w").write("a file now")
    if os.environ.get("TINY") == "remove":
        shutil.rmtree("reports")
    if os.environ.get("TINY") == "skip":
        pytest.skip("not today")
    judge.require(False, "never valid")
"""
FILES = {"results.json", "results.csv", "summary.md", "report.html", "junit.xml"}


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


def test_two_runs_leave_two_folders_with_every_file(pytester: pytest.Pytester) -> None:
    first = run(pytester, "--capbench-report=reports", "--capbench-scale=smoke")
    first.assert_outcomes(passed=1, failed=1, errors=1)
    (one,) = folders(pytester)
    before = {file.name: file.read_bytes() for file in one.iterdir()}
    assert set(before) == FILES
    second = run(pytester, "--capbench-report=reports", "--capbench-scale=smoke")
    (other,) = set(folders(pytester)) - {one}
    assert {file.name for file in other.iterdir()} == FILES
    assert {file.name: file.read_bytes() for file in one.iterdir()} == before
    assert lines_with(first, f"report: {one.relative_to(pytester.path) / 'report.html'}")
    assert lines_with(second, f"report: {other.relative_to(pytester.path) / 'report.html'}")


def test_every_file_of_a_report_holds_the_run(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-report=deep/er/reports", "-q")
    (folder,) = folders(pytester, "deep/er/reports")
    found = load(folder)
    assert found.run.run_id == folder.name
    assert found.run.command == "pytest --capbench-cache=cache --capbench-jobs=1 --capbench-seeds=2 " + (
        "--capbench-report=deep/er/reports -q"
    )
    statuses = {r.claim: str(r.verdict.status) for r in found.records}
    assert statuses == {"rep.yes": "supported", "rep.no": "refuted", "rep.third": "invalid"}
    assert record(found, "rep.third").nodeid == "test_tiny.py::test_third"
    with (folder / "results.csv").open(newline="") as file:
        assert {row["claim"]: row["status"] for row in csv.DictReader(file)} == statuses
    for name in ("summary.md", "report.html"):
        text = (folder / name).read_text()
        assert [claim for claim in statuses if claim not in text] == []
    cases = {case.get("name"): case for case in ET.parse(folder / "junit.xml").getroot().iter("testcase")}
    assert set(cases) == {"test_yes", "test_no", "test_third"}
    assert len(cases["test_yes"]) == 0
    assert "rep.no: the one 1 [1, 1] >= 1.5: refuted" in ET.tostring(cases["test_no"], encoding="unicode").replace(
        "&gt;", ">"
    )
    assert "rep.third: invalid: never valid" in ET.tostring(cases["test_third"], encoding="unicode")


def test_a_junit_file_asked_for_goes_where_it_was_asked_for(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-report=reports", "--junitxml=mine.xml", "-k", "rep.yes").assert_outcomes(
        passed=1, deselected=2
    )
    assert ET.parse(pytester.path / "mine.xml").getroot().find(".//testcase") is not None
    (folder,) = folders(pytester)
    assert {file.name for file in folder.iterdir()} == FILES - {"junit.xml"}


@pytest.mark.parametrize("options", [(), ("--capbench-report=reports",)])
def test_the_output_ends_with_what_is_not_supported_and_why(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    result = run(pytester, *options)
    result.stdout.fnmatch_lines(
        [
            "*= capbench =*",
            "claims at scale small, 2 seeds (0, 1)",
            "invalid  rep.third",
            "    never valid",
            "refuted  rep.no",
            "    the one is 1 [[]1, 1], 0.5 below the threshold 1.5",
            "1 of 3 claims supported, 1 refuted, 1 invalid.",
        ]
    )
    assert not lines_with(result, "rep.yes", "supported", "+0.50")
    assert bool(lines_with(result, "report: ")) == bool(options)
    assert pytester.path.joinpath("reports").exists() == bool(options)


def test_asked_for_more_it_has_all_claims_in_a_table_of_margins(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v")
    result.stdout.fnmatch_lines(
        [
            "*= capbench =*",
            "claims at scale small, 2 seeds (0, 1)",
            "claim * status * effect * threshold * margin *",
            "rep.no * refuted * 1.00 *[[]1.00, 1.00] * >= 1.50 * -0.50 * 2",
            "rep.third * invalid *",
            "rep.yes * supported * 1.00 *[[]1.00, 1.00] * >= 0.50 * +0.50 * 2",
        ]
    )


def test_the_benchmark_file_carries_claim_status_effect_and_margin(pytester: pytest.Pytester) -> None:
    run(pytester, "--benchmark-json=bench.json")
    found = json.loads(pytester.path.joinpath("bench.json").read_text())["benchmarks"]
    assert {b["name"]: b["extra_info"] for b in found} == {
        "test_yes": {"claim": "rep.yes", "status": "supported", "effect": 1.0, "margin": 0.5},
        "test_no": {"claim": "rep.no", "status": "refuted", "effect": 1.0, "margin": -0.5},
        "test_third": {"claim": "rep.third", "status": "invalid", "effect": None, "margin": None},
    }
    assert all(b["stats"]["rounds"] == 1 for b in found)


def test_without_pytest_benchmark_claims_are_decided_all_the_same(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-p", "no:benchmark")
    result.assert_outcomes(passed=1, failed=1, errors=1)


def test_an_interrupted_run_keeps_what_was_measured_before(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY", "interrupt")
    result = run(pytester, "--capbench-report=reports", no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert {r.claim for r in results(pytester).records} == {"rep.yes", "rep.no"}
    (folder,) = folders(pytester)
    assert {file.name for file in folder.iterdir()} == FILES


@pytest.mark.parametrize("tests", ["def test_plain(): pass", ""])
def test_a_run_without_claims_reports_that_nothing_was_measured(pytester: pytest.Pytester, tests: str) -> None:
    pytester.path.joinpath("test_tiny.py").write_text(tests)
    result = run(pytester, "--capbench-report=reports")
    assert lines_with(result, "nothing was measured")
    assert results(pytester).records == ()
    assert "Nothing was measured" in (folders(pytester)[0] / "summary.md").read_text()
    quiet = run(pytester)
    assert not lines_with(quiet, "nothing was measured")
    assert not lines_with(quiet, "= capbench =")


def test_a_suite_that_cannot_be_collected_trains_nothing_and_reports_nothing_measured(
    pytester: pytest.Pytester,
) -> None:
    pytester.path.joinpath("test_broken.py").write_text("import no_such_module")
    result = run(pytester, "--capbench-report=reports")
    result.assert_outcomes(errors=1)
    assert not lines_with(result, "models to make")
    assert results(pytester).records == ()


def test_a_report_directory_that_becomes_a_file_costs_one_line_and_not_the_table(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY", "replace")
    result = run(pytester, "--capbench-report=reports")
    assert lines_with(result, "refuted  rep.no")
    assert len(lines_with(result, "the report could not be written", "is a file or lies below one")) == 1
    assert not lines_with(result, "Traceback")
    assert not lines_with(result, "INTERNALERROR")
    assert result.ret == 1
    assert pytester.path.joinpath("reports").read_text() == "a file now"


def test_a_report_directory_that_vanishes_is_made_anew(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY", "remove")
    run(pytester, "--capbench-report=reports").assert_outcomes(passed=1, failed=1, errors=1)
    assert len(results(pytester).records) == 3


def test_a_test_that_skips_itself_is_no_pass_and_tells_why_in_one_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY", "skip")
    result = run(pytester, "-rs", "--capbench-report=reports")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == outcomes["failed"] == 1
    assert "not today" in record(results(pytester), "rep.third").verdict.reason
    assert not lines_with(result, "('")  # pytest's internal form of a skip
    assert told(result, "rep.third") or lines_with(result, "SKIPPED", "not today")


def test_claims_from_two_files_with_the_same_name_are_both_in_the_report(pytester: pytest.Pytester) -> None:
    for name in ("a", "b"):
        folder = pytester.mkdir(name)
        shutil.copy(pytester.path / "test_tiny.py", folder / f"test_{name}.py")
    run(pytester, "a", "b", "--capbench-report=reports", "-k", "rep.yes").assert_outcomes(passed=2, deselected=4)
    assert [r.nodeid for r in results(pytester).records] == ["a/test_a.py::test_yes", "b/test_b.py::test_yes"]
