"""A new architecture is one file and one line: the models of a built-in study with a network of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_suite import lines_with, planned, record, results, run, trained, write_suite

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
