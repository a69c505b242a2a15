"""--capbench-seeds=auto: claims that are undecided are run again with more seeds, others are not."""

from __future__ import annotations

import json

import pytest
from tiny_suite import MAKING, capbench, is_usage_error, lines_with, record, results, run, trained, write_suite

TESTS = """
import dataclasses
import pathlib
from capbench.results import Status

def free(id):
    return pytest.mark.claim(id, source="Fig. 0", needs=lambda study, seed, case: {}, uses_method=False)

def decided(judge, *, at):
    \"\"\"Supported from so many seeds on.\"\"\"
    found = at_least([1.0] * len(judge.steps), 0.5, "one")
    status = Status.SUPPORTED if len(judge.steps) >= at else Status.INCONCLUSIVE
    judge.decide(dataclasses.replace(found, status=status))

@about_method("auto.first")
def test_first(judge):
    judge.measure((weights, ["base", "tuned"]))
    decided(judge, at=3)

@about_base("auto.second")
def test_second(judge):
    judge.measure((weights, ["base"]))
    judge.control("weights", judge["base"], low=0.5)
    assert len(set(judge["base"])) == len(judge.steps)
    print(f"so many seeds: {len(judge.steps)}")
    decided(judge, at=5)

@free("auto.never")
def test_never(judge):
    judge.measure((values, []))
    decided(judge, at=99)

@free("auto.refuted")
def test_refuted(judge):
    judge.decide(at_most([1.0, 1.0], 0.5, "one"))

@free("auto.required")
def test_required(judge):
    judge.require(len(judge.steps) < 8, "eight are too many")
    decided(judge, at=99)

@free("auto.broken")
def test_broken(judge):
    assert len(judge.steps) < 5
    decided(judge, at=99)

def fails_later(study, seed, case):
    assert seed < 3, "no such seed"
    return {}

@pytest.mark.claim("auto.lacking", source="Fig. 0", needs=fails_later, uses_method=False)
def test_lacking(judge):
    judge.measure((values, []))
    decided(judge, at=99)

def test_other():
    pass
"""


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


def test_only_undecided_claims_take_more_seeds_and_only_their_models_are_made(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--capbench-seeds=auto", "--capbench-report=reports", "-rP")
    result.assert_outcomes(passed=3, failed=1, xfailed=1, errors=3)
    found = results(pytester)
    counts = {r.claim.removeprefix("auto."): (len(r.seeds), str(r.verdict.status)) for r in found.records}
    assert counts == {
        "first": (3, "supported"),
        "second": (5, "supported"),
        "never": (12, "inconclusive"),
        "refuted": (3, "refuted"),
        "required": (8, "invalid"),  # for the reason that it had at eight seeds
        "broken": (5, "invalid"),
        "lacking": (3, "invalid"),
    }
    assert found.run.seeds == tuple(range(12))
    second = record(found, "auto.second")
    assert (second.seeds, len(second.controls), second.verdict.n_seeds) == ((0, 1, 2, 3, 4), 1, 5)
    assert [(m.name, m.seed) for m in second.measurements] == [("base", seed) for seed in range(5)]
    assert second.artefacts.keys() == {f"base/{seed}" for seed in range(5)}
    assert "no such seed" in record(found, "auto.lacking").verdict.reason
    assert lines_with(result, "scale small, 3 to 12 seeds")
    assert lines_with(result, "capbench: auto.second is undecided at 3 seeds, and takes more")
    assert lines_with(
        result, "capbench: 4 of 4 models to make (4 training steps)"
    )  # initialised, base of seeds 3 and 4
    assert [line for line in result.outlines if line.startswith("so many")] == [f"so many seeds: {n}" for n in (3, 5)]


@pytest.mark.slow
def test_a_number_of_seeds_is_kept_to_and_a_claim_alone_takes_the_same_seeds_again(pytester: pytest.Pytester) -> None:
    fixed = run(pytester, "-k", "auto.never or auto.second", "--capbench-report=fixed")
    fixed.assert_outcomes(xfailed=2, deselected=6)
    assert {len(r.seeds) for r in results(pytester, "fixed").records} == {2}
    first = run(pytester, "-k", "auto.second", "--capbench-seeds=auto", "--benchmark-json=times.json")
    first.assert_outcomes(passed=1, deselected=7)
    (timed,) = json.loads((pytester.path / "times.json").read_text())["benchmarks"]
    assert (timed["extra_info"]["claim"], timed["stats"]["rounds"]) == ("auto.second", 1)
    made = trained(pytester)
    again = run(pytester, "-k", "auto.second", "--capbench-seeds=auto")
    again.assert_outcomes(passed=1, deselected=7)
    assert trained(pytester) == made and not lines_with(again, "models to make")


def test_a_plan_says_what_the_first_look_costs_and_what_all_can_at_most(pytester: pytest.Pytester) -> None:
    """A claim about a base needs 2 steps of training for each seed, one about a method 2 more; 3 seeds, at most 12."""
    options = ("test_tiny.py", *MAKING, "--seeds=auto", "-k", "first or second")
    planned = capbench(pytester, "plan", *options)
    assert planned.ret == 0
    assert lines_with(planned, "9 models, 0 in the cache, 9 to make (12 training steps)")
    assert planned.outlines[-2:] == [
        "seeds=auto, 3 seeds first: 9 of 9 models to make, 12 training steps, time unknown",
        "at most, if every claim takes 12 seeds: 36 of 36 models to make, 48 training steps, time unknown",
    ]
    trains = capbench(pytester, "train", *options)
    assert trains.ret == 0 and trained(pytester) == 9
    assert lines_with(trains, "capbench: seeds=auto: these are the models of the first 3 seeds")
    assert (
        capbench(pytester, "plan", *options)
        .outlines[-2]
        .endswith("0 of 9 models to make, 0 training steps, no training")
    )
    fixed = capbench(pytester, "plan", "test_tiny.py", *MAKING, "-k", "first")
    assert not lines_with(fixed, "at most")


@pytest.mark.parametrize("given", ["four", "0", "AUTO", "auto,3", ""])
def test_what_is_no_number_of_seeds_is_told_with_what_would_be(pytester: pytest.Pytester, given: str) -> None:
    result = run(pytester, f"--capbench-seeds={given}")
    assert is_usage_error(result, f"--capbench-seeds={given}: must be a whole number of at least 1, or auto")


def test_an_export_needs_a_number(pytester: pytest.Pytester) -> None:
    result = capbench(pytester, "export", "folder", "test_tiny.py", "--seeds=auto")
    assert result.ret == 2
    assert lines_with(result, "--seeds=auto: must be a whole number of at least 1")
