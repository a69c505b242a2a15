"""`capbench plan --simulate`: machines as they are described, times that the cache knows, methods that are not there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tiny_suite import MAKING, Ended, capbench, lines_with, trained, write_suite

TESTS = """
def lost(study, seed, case):
    found = tuned(study, seed, case)
    return {**found, "revived": tiny(study).revival(found["tuned"], seed, lr="medium")}

@about_base("of.base")
def test_base(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))

@about_method("of.tuned", needs_where_lost=lost)
def test_tuned(judge, tmp_path):  # with another fixture, only the test itself could tell whether a behaviour is lost
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    write_suite(pytester, TESTS)
    return pytester


def simulated(suite: pytest.Pytester, *options: str) -> Ended:
    return capbench(suite, "plan", *MAKING, "--simulate", *options, "test_tiny.py")


def as_json(suite: pytest.Pytester, *options: str) -> Any:
    ended = simulated(suite, "--format=json", *options)
    assert (ended.ret, ended.err) == (0, "")
    return json.loads(ended.out)


@pytest.mark.slow
def test_what_nobody_made_has_no_time_and_what_was_made_has_its_own(suite: pytest.Pytester) -> None:
    before = simulated(suite, "--cores=2")
    assert before.ret == 0 and trained(suite) == 0
    assert lines_with(before, "simulated: one machine, 2 cores")
    assert (
        lines_with(before, "work: unknown: 6 trainings (12 steps) unlike all in the cache") and "time" not in before.out
    )

    assert capbench(suite, "train", *MAKING, "test_tiny.py").ret == 0
    made = trained(suite)
    left = simulated(suite, "--cores=2")
    assert lines_with(left, "8 models, 8 there, 0 to make (0 training steps)") and lines_with(left, "--empty-cache")
    anew = as_json(suite, "--cores=2", "--empty-cache")
    assert trained(suite) == made == 8 and anew["models"]["unknown_time"] == anew["models"]["unknown_size"] == 0
    assert [part["models"] for part in anew["parts"]] == [6, 2], "two seeds, each with a revival once the rest is made"
    assert 0 < anew["chain_seconds"] <= anew["seconds"] <= anew["core_seconds"] and anew["bytes"] > 0
    assert anew["seconds"] == pytest.approx(sum(part["seconds"] for part in anew["parts"]))
    alone = as_json(suite, "--cores=1", "--empty-cache")
    assert alone["seconds"] == pytest.approx(alone["core_seconds"]) and alone["utilisation"] == pytest.approx(1)
    many = as_json(suite, "--cores=1", "--nodes=8", "--empty-cache")
    assert many["seconds"] == pytest.approx(many["chain_seconds"]) == pytest.approx(many["enough"]["best"])


def test_methods_that_are_supposed_count_as_those_that_are_given(suite: pytest.Pytester) -> None:
    given = as_json(suite, "--method=full", "--method=bitfit", "--method=lp-ft")
    supposed = as_json(suite, "--method=full", "--methods=3")
    assert [given["models"][what] for what in ("all", "missing")] == [16, 16] and given["models"]["shared"] is None
    assert [supposed["models"][what] for what in ("all", "missing", "shared")] == [16, 16, 4]
    assert (given["steps"], given["methods"]) == (supposed["steps"], supposed["methods"]) == (28, 3)
    words = simulated(suite, "--method=full", "--method=bitfit", "--methods=5", "--nodes=2", "--cores=3")
    assert lines_with(words, "simulated: 2 machines with 3 cores each, a Ray cluster")
    assert lines_with(words, "24 models, 0 there, 24 to make")
    assert lines_with(words, "5 methods; 4 of the models to make serve all of them")


def test_gpus_need_not_be_here(suite: pytest.Pytester) -> None:
    cuda = ("plan", "--cache=cache", "--simulate", "--device=cuda", "--nodes=2", "--cores=8", "test_tiny.py")
    ended = capbench(suite, *cuda)
    assert ended.ret == 0 and "2 machines with 8 cores and 1 GPU each, 0.25 of a GPU for each training" in ended.out


def test_what_does_not_go_together_is_refused_in_one_line(suite: pytest.Pytester) -> None:
    ended = simulated(suite, "--gpus=2")
    assert (ended.ret, ended.out) == (2, "")
    assert ended.errlines == ["capbench: error: --gpus=2 needs --device=cuda, as models train on --device=cpu"]
