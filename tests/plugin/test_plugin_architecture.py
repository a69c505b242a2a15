"""A new architecture is one file and one line: the models of a built-in study with a network of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_suite import is_usage_error, lines_with, planned, record, results, run, trained, write_suite

ROOT = Path(__file__).parents[2]
# The line is `architecture=...`; all else is a claim as it is on a GPT.
TESTS = """
def recurrent(study, seed, case):
    preset = dataclasses.replace(
        study.preset, **SIZES,
        architecture="network:Recurrent",
    )
    tuned = dataclasses.replace(study, preset=preset).finetuned(seed, prior="low", c_tr=1, lr="medium")
    return {"base": tuned.base, "tuned": tuned}

def kinds(bench, **models):
    for name, built in models.items():
        assert type(built.model).__name__ == "Recurrent"
        yield number(bench, name, float(built.meta["steps"]))

@about_method("mine.recurrent", needs=recurrent)
def test_recurrent(judge):
    from capbench.studies.pcfg.readings import behaviour
    small = dataclasses.replace(judge.study, preset=dataclasses.replace(judge.study.preset, **SIZES))
    judge.study = small
    judge.measure((kinds, ["base", "tuned"]), (behaviour, ["base", "tuned"]), (weights, ["tuned"]))
    judge.decide(at_least(judge["tuned"], 2, "steps"))
"""


@pytest.mark.slow
def test_a_network_of_ones_own_is_pretrained_and_fine_tuned(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    network = pytester.path / "network.py"
    shutil.copy(ROOT / "examples" / "recall" / "network.py", network)
    first = run(pytester, "--capbench-report=reports", "--capbench-seeds=1")
    first.assert_outcomes(passed=1)
    assert lines_with(first, "3 of 3 models to make") and trained(pytester) >= 3
    found = record(results(pytester), "mine.recurrent")
    assert {m.name for m in found.measurements} >= {"base", "tuned", "tuned.O_PT.c_te0"}
    assert planned(pytester, ".").startswith("3 models, 3 in the cache, 0 to make")
    network.write_text(network.read_text().replace("normal_(0.0, 0.2", "normal_(0.0, 0.1"))
    assert planned(pytester, ".").startswith("3 models, 0 in the cache, 3 to make")


def test_a_model_is_named_after_its_architecture() -> None:
    from dataclasses import replace

    from tiny import study

    found = study()
    assert found.model_name == "gpt-1x16"
    other = replace(found, preset=replace(found.preset, architecture="network:Recurrent"))
    assert other.model_name == "recurrent-1x16"
    assert other.initialised(0).key != found.initialised(0).key


CHOSEN = """
def kinds(bench, **models):
    for name, built in models.items():
        yield number(bench, f"is.{type(built.model).__name__}", 1.0)

@about_method("of.tuned")
@pytest.mark.parametrize("case", [Case(prior="low")], ids=str)
def test_tuned(judge, case):
    assert case.architecture == judge.case.architecture
    judge.measure((kinds, ["base", "tuned"]))
    judge.decide(at_least([1.0, 1.0], 1, "it"))

@about_method("of.plain")
def test_plain(judge, case):
    judge.measure((kinds, ["tuned"]))
    judge.decide(at_least([1.0, 1.0], 1, f"it on {case}"))

@about_method("of.one")
@pytest.mark.parametrize("case", [Case(architecture=name) for name in ("gru", "gpt")], ids=str)
def test_one(judge):
    judge.measure((kinds, ["tuned"]))
    judge.decide(at_least([1.0, 1.0], 1, "it"))

@about_method("of.compiled", study="tracr-counter", needs=lambda study, seed, case: {})
def test_compiled(judge):
    judge.measure((values, []))
    judge.decide(at_least(judge["one"], 1, "it"))
"""


def test_claims_of_pcfg_suites_are_tried_on_each_architecture_that_is_asked_for(pytester: pytest.Pytester) -> None:
    write_suite(pytester, CHOSEN)
    ended = run(pytester, "--capbench-architecture=lstm", "--capbench-architecture=gru", "--capbench-report=reports")
    ended.assert_outcomes(passed=6, deselected=3)
    found = results(pytester)
    kinds = {(r.claim, r.case): {m.name for m in r.measurements if m.name.startswith("is.")} for r in found.records}
    assert kinds == {
        ("of.tuned", "architecture=lstm,prior=low"): {"is.Lstm"},
        ("of.tuned", "architecture=gru,prior=low"): {"is.Gru"},
        ("of.plain", "architecture=lstm"): {"is.Lstm"},
        ("of.plain", "architecture=gru"): {"is.Gru"},
        ("of.one", "architecture=gru"): {"is.Gru"},
        ("of.compiled", ""): set(),
    }
    assert {r.model for r in found.records if "lstm" in r.case} == {"lstm-2x64"}


def test_without_the_option_a_suite_s_own_choice_holds(pytester: pytest.Pytester) -> None:
    write_suite(pytester, CHOSEN)
    run(pytester, "-k", "test_one or compiled", "--capbench-report=reports").assert_outcomes(passed=3, deselected=2)
    found = {r.case: r.model for r in results(pytester).records}
    assert found == {"architecture=gru": "gru-2x64", "architecture=gpt": "gpt-2x64", "": found[""]}


def test_an_unknown_architecture_is_one_line(pytester: pytest.Pytester) -> None:
    write_suite(pytester, CHOSEN)
    assert is_usage_error(
        run(pytester, "--capbench-architecture=lst"), "--capbench-architecture=lst: unknown architecture"
    )
