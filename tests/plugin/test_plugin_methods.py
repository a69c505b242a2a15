"""A user's method: it runs, or the claims that need it are invalid for one clear reason and nothing else suffers."""

from __future__ import annotations

import csv

import pytest
from tiny_suite import comparable, folders, lines_with, record, results, run, told, trained, write_suite

TESTS = """
@about_base("of.base")
def test_base(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))

@about_method("of.tuned")
def test_tuned(judge):
    judge.measure((weights, ["base", "tuned"]))
    moved = [abs(t - b) for t, b in zip(judge["tuned"], judge["base"])]
    judge.decide(at_least(moved, 1e-9, "weights moved"))

@about_method("of.case")
@pytest.mark.parametrize("case", [Case(prior="low")], ids=str)
def test_case(judge):
    judge.measure((weights, ["tuned"]))
    judge.decide(at_least(judge["tuned"], 0.5, "weights"))
"""

METHODS = """
import copy, multiprocessing, os, sys, torch
from capbench.training.loop import fit

def good(model, task, config):
    fit(tuned := copy.deepcopy(model), task, config)
    return tuned

def in_place(model, task, config):
    fit(model, task, config)
    return model

def raises(model, task, config):
    raise ValueError("my own\\nmistake")

def exits(model, task, config):
    sys.exit("usage: mine")

def dies(model, task, config):
    assert multiprocessing.parent_process() is not None, "this would end the whole run"
    os._exit(1)

def forgets(model, task, config):
    fit(model, task, config)

def talks(model, task, config):
    return "done"

def wider(model, task, config):
    model.unembedding = torch.nn.Linear(8, 99, bias=False)
    return model

def not_a_number(model, task, config):
    model.unembedding.weight.data.fill_(float("nan"))
    return model

number = 5
"""

# What the user gives, and what the line must say besides.
BROKEN = {
    "gone.py:tune": ["there is no file 'gone.py'"],
    "no.such.module:tune": ["there is no module 'no.such.module'"],
    "mine.py:misspelt": ["no 'misspelt' in that file; it has good, in_place, raises"],
    "mine.py:number": ["'number' is a int, not a function"],
    "imports.py:tune": ["cannot be imported", "ModuleNotFoundError", "no_such_package", "imports.py:1"],
    "syntax.py:tune": ["cannot be imported", "SyntaxError"],
    "leaves.py:tune": ["cannot be imported", "SystemExit: 3"],
    "mine.py:raises": ["failed: ValueError: my own mistake (mine.py:14)"],
    "mine.py:exits": ["failed: SystemExit: usage: mine (mine.py:17)"],
    "mine.py:forgets": ["returned None; it must return the fine-tuned Model"],
    "mine.py:talks": ["returned a str; it must return the fine-tuned Model"],
    "mine.py:wider": ["another shape", "'unembedding.weight' is (99, 8), the base model has"],
    "mine.py:not_a_number": ["training diverged"],
}


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    pytester.path.joinpath("mine.py").write_text(METHODS)
    pytester.path.joinpath("imports.py").write_text("import no_such_package\n")
    pytester.path.joinpath("syntax.py").write_text("def tune(model, task, config) return model\n")
    pytester.path.joinpath("leaves.py").write_text("raise SystemExit(3)\n")


@pytest.mark.slow
@pytest.mark.parametrize("method", BROKEN)
def test_a_broken_method_makes_its_claims_invalid_and_no_others(pytester: pytest.Pytester, method: str) -> None:
    result = run(pytester, "--capbench-seeds=1", f"--capbench-method={method}", "--capbench-report=reports")
    result.assert_outcomes(passed=1, errors=2)
    assert result.ret == 1
    assert not lines_with(result, "Traceback")
    found = results(pytester)
    assert str(record(found, "of.base").verdict.status) == "supported"
    for claim, full_id in (("of.tuned", "of.tuned"), ("of.case", "of.case[prior=low]")):
        (line,) = told(result, full_id)
        verdict = record(found, claim).verdict
        assert line == f"{full_id}: invalid: {verdict.reason}"
        assert str(verdict.status) == "invalid"
        assert [part for part in (method, *BROKEN[method]) if part not in verdict.reason] == []
        assert record(found, claim).method == method


@pytest.mark.slow
def test_a_method_that_kills_its_process_costs_only_its_own_claims(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-seeds=1", "-k", "of.base")  # its models are there already: less to start processes for
    options = ("--capbench-jobs=2", "--capbench-seeds=1", "--capbench-method=mine.py:dies")
    result = run(pytester, *options, "--capbench-report=reports")
    result.assert_outcomes(passed=1, errors=2)
    (line,) = told(result, "of.tuned")
    assert "mine.py:dies' died (out of memory, killed, or it exited by itself)" in line
    assert not lines_with(result, "Traceback")
    assert record(results(pytester), "of.tuned").verdict.reason in line


def test_two_methods_are_two_parameters_and_the_broken_one_leaves_the_other_alone(pytester: pytest.Pytester) -> None:
    options = ("--capbench-method=mine.py:good", "--capbench-method=mine.py:raises", "--capbench-report=reports")
    result = run(pytester, "-v", *options)
    result.assert_outcomes(passed=3, errors=2)
    for words in (
        ("::test_base PASSED",),  # once, and without a method
        ("::test_tuned[method=mine.py:good] PASSED",),
        ("::test_tuned[method=mine.py:raises] INVALID",),
        ("::test_case[", "method=mine.py:good", "prior=low", "] PASSED"),
        ("::test_case[", "method=mine.py:raises", "prior=low", "] INVALID"),
    ):
        assert len(lines_with(result, *words)) == 1, words
    found = results(pytester)
    assert found.run.methods == ("mine.py:good", "mine.py:raises")
    assert str(record(found, "of.tuned", "mine.py:good").verdict.status) == "supported"
    assert str(record(found, "of.tuned", "mine.py:raises").verdict.status) == "invalid"


def test_the_same_method_given_twice_is_run_once(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v", "--capbench-method=identity", "--capbench-method=identity", "-k", "of.case")
    result.assert_outcomes(passed=1, deselected=2)
    assert lines_with(result, "::test_case[prior=low] PASSED")


def test_a_method_of_ones_own_gives_what_the_same_built_in_gives_also_in_place(pytester: pytest.Pytester) -> None:
    options = [f"--capbench-method={m}" for m in ("full", "mine.py:good", "mine.py:in_place", "frozen-trunk")]
    # The frozen model moves so little, and so differently on two seeds, that its own claim stays open.
    run(pytester, *options, "--capbench-report=reports").assert_outcomes(passed=8, xfailed=1)
    found = results(pytester)
    full, good, in_place, frozen = (
        [(m.name, m.seed, m.value) for m in record(found, "of.tuned", name).measurements]
        for name in ("full", "mine.py:good", "mine.py:in_place", "frozen-trunk")
    )
    assert full == good == in_place
    assert full != frozen  # the comparison can tell methods apart


def test_identity_moves_no_weight(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--capbench-method=identity", "--capbench-report=reports")
    result.assert_outcomes(passed=2, failed=1)
    assert record(results(pytester), "of.tuned").verdict.effect == 0.0


@pytest.mark.slow
def test_an_edited_method_is_run_again_and_an_untouched_one_is_not(pytester: pytest.Pytester) -> None:
    option = "--capbench-method=mine.py:good"
    run(pytester, option, "--capbench-report=first").assert_outcomes(passed=3)
    made = trained(pytester)
    run(pytester, option, "--capbench-report=again").assert_outcomes(passed=3)
    assert trained(pytester) == made
    mine = pytester.path / "mine.py"
    mine.write_text(mine.read_text().replace("fit(tuned := copy.deepcopy(model), task, config)", "tuned = model", 1))
    changed = run(pytester, option, "--capbench-report=changed")
    changed.assert_outcomes(passed=2, failed=1)  # it no longer moves a weight
    assert lines_with(changed, "capbench: 2 of 6 models to make")
    assert comparable(results(pytester, "first")) == comparable(results(pytester, "again"))


def test_a_method_file_in_a_folder_is_named_without_it(pytester: pytest.Pytester) -> None:
    pytester.mkdir("my methods").joinpath("other.py").write_text(METHODS)
    run(pytester, "--capbench-method=my methods/other.py:good", "--capbench-report=reports").assert_outcomes(passed=3)
    assert record(results(pytester), "of.tuned").method == "other.py:good"


def test_methods_of_one_name_have_a_row_each_in_every_output(pytester: pytest.Pytester) -> None:
    pytester.mkdir("one").joinpath("mine.py").write_text(METHODS)
    pytester.mkdir("two").joinpath("mine.py").write_text(
        METHODS.replace("fit(tuned := copy.deepcopy(model), task, config)", "tuned = model", 1)
    )
    options = [f"--capbench-method={folder}/mine.py:good" for folder in ("one", "./one", "two")]
    result = run(pytester, "-v", *options, "-k", "of.tuned", "--capbench-seeds=1", "--capbench-report=reports")
    result.assert_outcomes(passed=1, failed=1)
    names = ["one/mine.py:good", "two/mine.py:good"]
    found = results(pytester)
    assert found.run.methods == tuple(names) == tuple(r.method for r in found.records)
    assert [str(record(found, "of.tuned", name).verdict.status) for name in names] == ["supported", "refuted"]
    (folder,) = folders(pytester)
    with (folder / "results.csv").open() as table:
        assert [row["method"] for row in csv.DictReader(table)] == names
    for file in ("summary.md", "junit.xml", "report.html"):
        words = (folder / file).read_text().replace("<wbr>", "")
        assert all(name in words for name in names), file
    assert all(lines_with(result, f" {name} ") for name in names)


def test_a_file_that_is_in_no_key_is_told_beside_the_methods_rows(pytester: pytest.Pytester) -> None:
    source = METHODS.replace("fit(tuned :=", "Path('side.json').read_text(); fit(tuned :=", 1)
    pytester.path.joinpath("reads.py").write_text(f"from pathlib import Path\n{source}")
    pytester.path.joinpath("side.json").write_text("1")
    told = (
        "method reads.py:good reads side.json, which is in no key: after an edit its results would be stale; "
        "declare it with --capbench-method-depends=side.json"
    )
    options = ("--capbench-method=reads.py:good", "--capbench-method=identity", "-k", "of.tuned", "--capbench-seeds=1")
    result = run(pytester, *options, "--capbench-report=reports")
    assert [line for line in result.outlines if "warning" in line] == [f"warning: {told}"]
    assert results(pytester).warnings == (told,)
    (folder,) = folders(pytester)
    assert "**Warning:** method reads.py:good reads side.json" in (folder / "summary.md").read_text()
    assert f"{told}." in (folder / "report.html").read_text()
