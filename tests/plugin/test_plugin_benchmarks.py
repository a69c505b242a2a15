"""Claims as benchmarks of pytest-benchmark: which runs hold them, and when its table shows them."""

from __future__ import annotations

import json

import pytest
from tiny_suite import lines_with, results, run, trained, write_suite

TESTS = """
@about_base("opt.claim")
def test_claim(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "one"))

def test_other(): pass
"""
OWN = "\ndef test_own(benchmark): benchmark.pedantic(lambda: None, rounds=1)\n"


def test_claims_are_benchmarks_to_pytest_benchmark(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    skipped = run(pytester, "--benchmark-skip")
    skipped.assert_outcomes(passed=1, skipped=1)
    assert trained(pytester) == 0
    only = run(pytester, "--benchmark-only", "--capbench-report=reports", "-W", "error")
    only.assert_outcomes(passed=1, skipped=1)
    assert results(pytester).records[0].claim == "opt.claim"
    run(pytester, "--benchmark-disable").assert_outcomes(passed=2)
    none = run(pytester, "--benchmark-only", "-k", "other")
    none.assert_outcomes(skipped=1, deselected=1)


def test_the_table_of_times_shows_claims_only_where_an_option_asks_for_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_suite(pytester, TESTS)
    unasked = run(pytester)
    assert not lines_with(unasked, "test_claim ") and not lines_with(unasked, "benchmark: 1 tests")
    assert lines_with(run(pytester, "--benchmark-columns=min"), "test_claim ")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--benchmark-json=times.json")
    assert lines_with(run(pytester), "test_claim ")
    (timed,) = json.loads(pytester.path.joinpath("times.json").read_text())["benchmarks"]
    assert timed["extra_info"]["claim"] == "opt.claim"


def test_a_benchmark_of_the_user_s_is_in_the_table_without_the_claims(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS + OWN)
    result = run(pytester)
    result.assert_outcomes(passed=3)
    assert lines_with(result, "benchmark: 1 tests") and lines_with(result, "test_own ")
    assert not lines_with(result, "test_claim ")
