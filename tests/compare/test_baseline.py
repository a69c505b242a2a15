"""pytest --capbench-baseline: a first run is kept, later ones are compared, a regression makes the exit status 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from runs_example import PROTOCOL, claim, healthy, planted, run, saved
from tiny_suite import folders, lines_with, write_suite
from tiny_suite import run as pytest_run

from capbench.compare.baseline import Baseline, common, folder_name
from capbench.compare.gate import Gate
from capbench.errors import UsageError
from capbench.results import Capability, Measurement, Record, Results, Status, to_json
from capbench.studies.pcfg.tools import TOOLBOX
from capbench.verdicts.capability import capabilities

TESTS = """
import os

def nothing(study, seed, case):
    return {}

def effects(name):
    return [float(x) for x in os.environ[name].split()]

@about_base("one.claim", needs=nothing)
def test_one(judge):
    judge.decide(at_least(effects("ONE"), 0.5, "one"))

@about_base("two.claim", needs=nothing)
def test_two(judge):
    judge.decide(at_least(effects("TWO"), 0.5, "two"))

@pytest.mark.extended
@about_base("three.claim", needs=nothing)
def test_three(judge):
    judge.decide(at_least(effects("TWO"), 0.5, "three"))
"""
Run = Callable[..., pytest.RunResult]
AUTO = "--capbench-baseline=auto"
KEPT = "reports/baseline/small-full"
HIGH, MIDDLE, LOW = "0.90 0.91", "0.80 0.81", "0.49 0.52"  # supported, supported, inconclusive


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


@pytest.fixture
def capbench(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the suite with these effects."""

    def once(*options: str, one: str = HIGH, two: str = HIGH, process: bool = False) -> pytest.RunResult:
        monkeypatch.setenv("ONE", one)
        monkeypatch.setenv("TWO", two)
        return pytest_run(pytester, *options, process=process)

    return once


def regression(result: pytest.RunResult) -> str:
    return "".join(line for line in result.outlines if line.startswith("regression "))


# ---- auto


def test_the_first_run_is_kept_and_says_so_and_the_same_again_is_no_difference(
    pytester: pytest.Pytester, capbench: Run
) -> None:
    first = capbench(AUTO)
    assert first.ret == 0
    assert lines_with(first, "baseline: kept this run (2 claims) in", KEPT, "later runs are compared with it")
    kept = pytester.path / KEPT / "results.json"
    before = kept.read_bytes()
    second = capbench(AUTO)
    assert second.ret == 0 and lines_with(second, "no difference: 2 claims (2 unchanged)")
    assert kept.read_bytes() == before


def test_a_status_that_got_worse_fails_the_session_though_no_test_failed(capbench: Run) -> None:
    capbench(AUTO)
    result = capbench(AUTO, two=LOW)
    result.assert_outcomes(passed=1, xfailed=1, deselected=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert regression(result) == "regression (fail on verdict): two.claim supported → inconclusive"
    assert lines_with(result, "two.claim", "worse", "-0.40 [-0.44, -0.36]")


@pytest.mark.parametrize(
    ("form", "effects", "ret"),
    [("none", LOW, 0), ("margin:-0.05", MIDDLE, 1), ("margin:-0.2", MIDDLE, 0), ("status", MIDDLE, 0)],
)
def test_what_fails_can_be_chosen(capbench: Run, form: str, effects: str, ret: int) -> None:
    capbench(AUTO)
    result = capbench(AUTO, f"--capbench-fail-on={form}", one=effects)
    assert result.ret == ret and bool(regression(result)) is bool(ret)
    assert lines_with(result, "one.claim", "worse", "-0.")


def test_a_baseline_can_be_replaced(capbench: Run) -> None:
    capbench(AUTO)
    replaced = capbench(AUTO, "--capbench-baseline-save", two=LOW)
    assert replaced.ret == 0 and lines_with(replaced, "baseline: kept this run")
    again = capbench(AUTO, two=LOW)
    assert again.ret == 0 and lines_with(again, "no difference")


def test_what_was_not_selected_has_not_vanished_and_what_is_gone_has(pytester: pytest.Pytester, capbench: Run) -> None:
    capbench(AUTO, "--capbench-extended")
    for options in (("-k", "one.claim"), ("test_tiny.py::test_one",), ()):  # the last: without the extended claim
        result = capbench(AUTO, *options)
        assert result.ret == 0, result.outlines
        assert lines_with(result, "claims of the baseline omitted, as this run did not select them: ")
    stopped = capbench(AUTO, "-x", "--capbench-extended", one="0.10 0.11")  # the others were never run
    assert regression(stopped) == "regression (fail on verdict): one.claim supported → refuted"
    write_suite(pytester, TESTS.replace('"two.claim"', '"new.claim"'))
    gone = capbench(AUTO, "--capbench-extended")
    assert (gone.ret, regression(gone)) == (1, "regression (fail on verdict): two.claim is only in A")
    assert lines_with(gone, "new.claim", "only in B")


def test_a_run_that_ended_early_is_not_kept(pytester: pytest.Pytester, capbench: Run) -> None:
    result = capbench(AUTO, "-x", one="0.10 0.11")
    assert lines_with(result, "baseline: this run was not kept")
    assert not (pytester.path / KEPT / "results.json").exists()


def test_the_report_directory_holds_the_baseline_beside_the_runs(pytester: pytest.Pytester, capbench: Run) -> None:
    capbench(AUTO, "--capbench-report=here")
    capbench(AUTO, "--capbench-report=here", two=LOW)
    assert (pytester.path / "here/baseline/small-full/results.json").is_file()
    assert len([f for f in folders(pytester, "here") if f.name != "baseline"]) == 2


@pytest.mark.slow
def test_it_works_where_other_processes_run_the_tests(capbench: Run) -> None:
    pytest.importorskip("xdist")
    capbench(AUTO)
    result = capbench(AUTO, "-n", "1", two=LOW)  # one is enough: it is not this process
    assert result.ret == 1
    assert regression(result) == "regression (fail on verdict): two.claim supported → inconclusive"


def test_collect_only_neither_keeps_nor_compares(pytester: pytest.Pytester, capbench: Run) -> None:
    result = capbench(AUTO, "--collect-only", "-q")
    assert result.ret == 0 and not lines_with(result, "baseline")
    assert not (pytester.path / "reports").exists()


# ---- a run that is named, and mistakes


def test_a_named_run_is_compared_with_and_left_as_it_is(pytester: pytest.Pytester, capbench: Run) -> None:
    capbench("--capbench-report=reports")
    (folder,) = folders(pytester)
    before = (folder / "results.json").read_bytes()
    result = capbench(f"--capbench-baseline={folder}", two=LOW)
    assert result.ret == 1 and "two.claim supported → inconclusive" in regression(result)
    assert (folder / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--capbench-baseline=nowhere"], ["nowhere", "give a run directory"]),
        (["--capbench-baseline=paper"], ["=paper", "scale paper", "never compared"]),
        (["--capbench-baseline=damaged"], ["damaged or of another schema"]),
        ([AUTO, "--capbench-fail-on=worse"], ["--capbench-fail-on=worse", "margin:-0.05"]),
        (["--capbench-fail-on=status"], ["--capbench-fail-on=status needs --capbench-baseline"]),
        (["--capbench-baseline-save"], ["--capbench-baseline-save needs --capbench-baseline=auto"]),
        (
            ["--capbench-baseline=paper", "--capbench-baseline-save"],
            ["--capbench-baseline-save needs --capbench-baseline=auto, not --capbench-baseline=paper"],
        ),
        ([AUTO, "--capbench-report=damaged/results.json"], ["is a file or lies below one"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_computed(
    pytester: pytest.Pytester, capbench: Run, options: list[str], parts: list[str]
) -> None:
    saved(pytester.path / "paper", healthy(scale="paper"))
    saved(pytester.path / "damaged", healthy()).joinpath("results.json").write_text("[]")
    result = capbench(*options)
    errors = [line for line in result.errlines if line.strip()]
    assert (result.ret, len(errors)) == (pytest.ExitCode.USAGE_ERROR, 1)
    assert [part for part in parts if part not in errors[0]] == []
    assert not lines_with(result, "one.claim")


# ---- the library


def test_a_planted_regression_is_found_against_a_kept_run(tmp_path: Path) -> None:
    def baseline() -> Baseline:
        found = Baseline.find(
            "auto", save=False, gate=Gate.parse("--fail-on", None), reports=tmp_path, scale="small", names=["full"]
        )
        assert found is not None
        return found

    words, failed = baseline().conclude(healthy(), complete=True, asked=lambda nodeid: True, verdicts=verdicts)
    assert "kept this run" in words and not failed
    words, failed = baseline().conclude(planted(), complete=True, asked=lambda nodeid: True, verdicts=verdicts)
    assert "wrapped → deleted" in failed and "revival.efficiency supported → refuted" in failed


def test_a_run_in_which_nothing_could_be_tested_guards_nothing(tmp_path: Path) -> None:
    def conclude(one: Results) -> str:
        found = Baseline.find(
            "auto", save=False, gate=Gate.parse("--fail-on", None), reports=tmp_path, scale="small", names=["full"]
        )
        assert found is not None
        return found.conclude(one, complete=True, asked=lambda nodeid: True, verdicts=verdicts)[0]

    def failed(record: Record) -> Record:
        return dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, status=Status.INVALID))

    whole = healthy()
    broken = dataclasses.replace(whole, records=tuple(map(failed, whole.records)), capabilities=())
    assert "none of its claims could be put to the test" in conclude(broken)
    assert not list(tmp_path.rglob("results.json"))
    assert "kept this run" in conclude(whole)
    (kept,) = tmp_path.rglob("results.json")
    kept.write_text(to_json(broken), encoding="utf-8")  # by a version that kept it
    assert "kept this run" in conclude(whole)
    assert "kept this run" not in conclude(whole)


def verdicts(records: Sequence[Record]) -> tuple[Capability, ...]:
    return capabilities(records, lambda record: TOOLBOX, scale="small")


def measured(name: str, **numbers: float) -> Record:
    found = tuple(Measurement(name=n, value=v, unit="", n=1, seed=0) for n, v in numbers.items())
    return claim(name, (1.0, 1.0), protocol=PROTOCOL, measurements=found)


def test_a_verdict_from_fewer_claims_is_compared_with_one_from_the_same_claims() -> None:
    """Else running half of the claims would look as if the capability had changed."""
    behaviour = {"tuned.O_PT.c_te0": 0.02, "tuned.O_PT.c_te1": 0.02}
    first, second = measured("a.b", **behaviour), measured("c.d", **{"probing.retention": 0.9})
    judged = healthy().capabilities
    whole = dataclasses.replace(run(first, second), capabilities=judged)
    before, after, left = common(whole, run(first), lambda nodeid: False, verdicts)
    assert left == 1 and [r.id for r in before.records] == ["a.b"]
    assert before.capabilities == after.capabilities != judged
    assert [e.tool for e in before.capabilities[0].evidence] == ["behaviour"]
    same, _, none_left = common(whole, whole, lambda nodeid: True, verdicts)
    assert none_left == 0 and same.capabilities == judged  # as they were found


def test_methods_that_are_not_run_again_are_left_out() -> None:
    before = run(claim("a.b", (1.0, 1.0)), claim("a.b", (1.0, 1.0), method="other"))
    after = run(claim("a.b", (1.0, 1.0)), methods=("full",))
    kept, _, left = common(before, after, lambda nodeid: True, verdicts)
    assert ([r.method for r in kept.records], left) == (["full"], 1)


def test_every_set_of_methods_has_a_folder_of_its_own() -> None:
    assert folder_name("small", ["full"]) == "small-full"
    names = [["a/b.py:f"], ["a_b.py:f"], ["a b.py:f"], ["x" * 200], ["x" * 201], ["../up"]]
    made = [folder_name("small", name) for name in names]
    assert len(set(made)) == len(names)
    assert all(Path(name).name == name and len(name) < 100 for name in made)


def test_a_named_run_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="never replaced"):
        Baseline.find(
            "x", save=True, gate=Gate.parse("--fail-on", None), reports=tmp_path, scale="small", names=["full"]
        )
