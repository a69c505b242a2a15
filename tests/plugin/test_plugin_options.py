"""The command line: a mistake ends the run in one line before anything is computed; looking around costs no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_suite import folders, is_usage_error, lines_with, results, run, trained, write_suite

ROOT = Path(__file__).parents[2]
TESTS = """
@about_method("opt.claim")
def test_claim(judge):
    judge.measure((weights, ["base", "tuned"]))
    judge.decide(at_least(judge["tuned"], 0.5, "weights"))
"""


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    pytester.path.joinpath("occupied").write_text("a file")
    package = pytester.path / "breaks"
    package.mkdir()
    package.joinpath("__init__.py").write_text("raise RuntimeError('this package breaks')")


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("--capbench-scale=huge", ["huge", "smoke, small, paper"]),
        ("--capbench-device=tpu", ["tpu", "cpu, cuda"]),
        ("--capbench-seeds=0", ["=0", "at least 1"]),
        ("--capbench-seeds=x", ["=x", "whole number"]),
        ("--capbench-seeds=-1", ["=-1", "whole number"]),
        ("--capbench-seeds=1.5", ["=1.5", "whole number"]),
        ("--capbench-seeds=²", ["=²", "whole number"]),  # a digit to str.isdigit, no number to int
        ("--capbench-seeds=", ["whole number"]),
        ("--capbench-jobs=0", ["=0", "at least 1"]),
        ("--capbench-jobs=x", ["=x", "whole number"]),
        ("--capbench-stack=0", ["--capbench-stack=0", "at least 1"]),
        ("--capbench-precision=half", ["half", "float32, bfloat16"]),
        ("--capbench-method=loraa", ["=loraa: unknown method", "full, bitfit, dora", "file.py:attr"]),
        ("--capbench-method=", ["full, bitfit, dora"]),
        ("--capbench-method=mine.py:", ["=mine.py:: is not of the form", "file.py:attr"]),
        ("--capbench-method=mine.py:a-b", ["=mine.py:a-b: is not of the form", "file.py:attr"]),
    ],
)
def test_a_value_that_cannot_work_is_quoted_with_what_would_be_right(
    pytester: pytest.Pytester, option: str, parts: list[str]
) -> None:
    result = run(pytester, option, "--capbench-report=reports")
    assert is_usage_error(result, option.split("=")[0], *parts)
    assert trained(pytester) == 0
    assert not pytester.path.joinpath("reports").exists()


@pytest.mark.parametrize("below", ["", "/below"])
def test_a_report_directory_that_is_a_file_is_a_usage_error(pytester: pytest.Pytester, below: str) -> None:
    result = run(pytester, f"--capbench-report=occupied{below}")
    assert is_usage_error(result, f"'occupied{below}'", "is a file or lies below one", "give a directory")
    assert trained(pytester) == 0
    assert pytester.path.joinpath("occupied").read_text() == "a file"


def test_a_cache_directory_that_is_a_file_is_a_usage_error_and_leaves_no_report(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--capbench-cache=occupied", "--capbench-report=reports")
    assert is_usage_error(result, "'occupied'", "it is a file", "give a writable one")
    assert pytester.path.joinpath("occupied").read_text() == "a file"
    assert not pytester.path.joinpath("reports").exists() or folders(pytester) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_on_a_machine_without_it_is_a_usage_error(pytester: pytest.Pytester) -> None:
    assert is_usage_error(run(pytester, "--capbench-device=cuda"), "--capbench-device=cuda", "no CUDA", "use cpu")
    assert trained(pytester) == 0


def test_a_package_that_breaks_when_imported_is_no_traceback(pytester: pytest.Pytester) -> None:
    """It is imported only where the method is called."""
    result = run(pytester, "--capbench-method=breaks.gone:tune")
    assert lines_with(result, "breaks.gone:tune", "there is no module 'breaks.gone'")
    pytester.path.joinpath("breaks", "mod.py").write_text("def tune(model, task, config):\n    return model\n")
    result = run(pytester, "--capbench-method=breaks.mod:tune")
    assert lines_with(result, "breaks.mod:tune", "this package breaks")
    assert not lines_with(result, "Traceback")
    assert not lines_with(result, "INTERNALERROR")


def test_a_stack_trains_in_one_process_and_here(pytester: pytest.Pytester) -> None:
    found = run(pytester, "--capbench-stack=4", "--capbench-jobs=2")
    assert is_usage_error(found, "--capbench-stack=4", "one process", "--capbench-jobs=2")
    assert trained(pytester) == 0


@pytest.mark.parametrize("stack", [[], ["--capbench-stack=1"]])
def test_on_a_gpu_one_process_trains_and_more_are_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, stack: list[str]
) -> None:
    monkeypatch.setattr("capbench.session.options.values.has_cuda", lambda: True)
    cuda = ("--capbench-device=cuda", *stack)
    found = run(pytester, *cuda, "--capbench-jobs=2")
    assert is_usage_error(found, "--capbench-jobs=2", "omit this option", "--capbench-stack=N")
    assert is_usage_error(run(pytester, *cuda, "--capbench-jobs=many"), "--capbench-jobs=many", "whole number")
    assert run(pytester, *cuda, "--capbench-jobs=1", "--collect-only").ret == 0


def test_stacked_in_another_precision(pytester: pytest.Pytester) -> None:
    """The report says in which: a verdict in bfloat16 is not one in float32."""
    run(pytester, "--capbench-seeds=1", "--capbench-report=plain")
    options = ("--capbench-stack=4", "--capbench-precision=bfloat16")
    result = run(pytester, "--capbench-seeds=1", "--capbench-report=reports", *options)
    assert lines_with(result, "up to 4 in one pass")
    (record,), (plain,) = results(pytester).records, results(pytester, "plain").records
    assert record.protocol["precision"] == "bfloat16" and "precision" not in plain.protocol
    assert record.verdict.per_seed != plain.verdict.per_seed


def test_the_header_says_what_is_run(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--capbench-scale=smoke", "--capbench-seeds=1", "--capbench-method=identity")
    (line,) = lines_with(result, "capbench: 0.1.0")
    for part in ("scale smoke", "1 seed,", "method identity", "device cpu", "cache cache"):
        assert part in line


def test_the_seeds_asked_for_are_the_seeds_measured(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-seeds=3", "--capbench-report=reports")
    found = results(pytester)
    assert found.run.seeds == (0, 1, 2)
    assert found.records[0].seeds == (0, 1, 2)
    assert len(set(found.records[0].verdict.per_seed)) == 3  # seeds differ, or they are no seeds


def test_the_cache_directory_can_come_from_the_environment(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPBENCH_CACHE", str(pytester.path / "from environment"))
    pytester.runpytest_inprocess("--capbench-jobs=1", "--capbench-seeds=1").assert_outcomes(passed=1)
    assert trained(pytester, "from environment") > 0


def test_collect_only_computes_nothing_and_writes_no_report(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--collect-only", "-q", "--capbench-report=reports")
    assert result.ret == 0
    assert lines_with(result, "test_tiny.py::test_claim")
    assert not pytester.path.joinpath("reports").exists()
    assert not pytester.path.joinpath("cache").exists()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--help",), ("--collect-only", "-q", str(ROOT / "suites"))])
def test_help_and_collect_only_import_neither_torch_nor_jax(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env={**os.environ, "CAPBENCH_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "capbench.session.run" in modules  # the list is what it should be
    assert modules & {"torch", "jax", "matplotlib.pyplot", "scipy", "pandas"} == set()
    assert not (tmp_path / "cache").exists()
    if "--help" in arguments:
        assert "--capbench-report" in done.stdout
    else:
        assert "suites/pcfg/test_revival.py::" in done.stdout
        assert "hypothesis" not in modules
