"""Models that are needed only where a behaviour is lost: made then, for all seeds, and for no other test."""

from __future__ import annotations

import json

import pytest
from tiny_suite import MAKING, capbench, comparable, lines_with, record, results, run, trained, write_suite

import capbench.zoo.bundle as bundle
from capbench.results import Status
from capbench.zoo.manifest import read

FINDINGS = """
import torch

def further(study, seed, case):
    twin = tiny(study).finetuned(seed, prior="never", c_tr=1, lr="medium")
    return {"never": twin.base, "twin": twin, "twin_medium": tiny(study).revival(twin, seed, lr="medium")}

def everything(study, seed, case):
    return {**tuned(study, seed, case), **further(study, seed, case)}

def kept(bench, base, tuned):
    '''Whether the weights are the base model's stands for its behaviour.'''
    pairs = zip(base.model.parameters(), tuned.model.parameters())
    same = all(torch.equal(one, other) for one, other in pairs)
    for c_te in (0, 1):
        yield number(bench, f"tuned.O_PT.c_te{c_te}", float(same))

def curve(bench, **curves):
    for name, built in curves.items():
        yield number(bench, f"{name}.last", built.curve("O_PT")[-1][1])

def state(judge):
    names = [name for name in judge.models if name.endswith("_medium")]
    judge.measure((kept, ["base", "tuned"]), where_lost=[(weights, ["never", "twin"]), (curve, names)])
    if judge.lost:
        judge.control("weights of the twin", judge["twin"], low=0.1)
        judge.require(judge["twin_medium.last"] != [], "it was revived")
    judge.decide(at_least(judge["tuned.O_PT.c_te0"], 0.5, "behaviour"))
"""
TESTS = f"""{FINDINGS}
@about_method("of.state", needs_where_lost=further)
def test_state(judge):
    print("so often")
    state(judge)
"""
IN_ANY_CASE = TESTS.replace("needs_where_lost=further", "needs=everything")
FIRST, MORE = 6, 8  # initialised, base, tuned; never, twin, its curve and, alone, what the never-taught model begins as


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    write_suite(pytester, TESTS)
    return pytester


def made(suite: pytest.Pytester, cache: str = "cache") -> dict[str, int]:
    """How many artefacts of each kind there are."""
    kinds = [json.loads(f.read_text())["kind"] for f in (suite.path / cache).glob("artefacts/*/*/meta.json")]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds)) if kind != "Reading"}


KEPT = {"FineTune": 2, "Initialise": 2, "Pretrain": 2}
LOST = {"FineTune": 4, "Initialise": 2, "Pretrain": 4, "Revive": 2}


def test_a_method_that_keeps_the_behaviour_has_no_twin_and_no_revival(suite: pytest.Pytester) -> None:
    result = run(suite, "--capbench-method=identity", "--capbench-report=reports", "-rP")
    result.assert_outcomes(passed=1)
    assert made(suite) == KEPT
    assert lines_with(result, "capbench: a behaviour is lost in 0 of 1 tests that need more models where it is")
    assert [line for line in result.outlines if line == "so often"] == ["so often"]
    found = record(results(suite), "of.state")
    assert found.artefacts.keys() == {f"{name}/{seed}" for seed in (0, 1) for name in ("base", "tuned")}
    assert run(suite, "--capbench-method=identity").ret == 0 and made(suite) == KEPT


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "identity"])
def test_a_verdict_is_the_one_that_it_would_be_with_all_models(suite: pytest.Pytester, method: str) -> None:
    run(suite, f"--capbench-method={method}", "--capbench-report=one")
    assert made(suite) == (LOST if method == "full" else KEPT)
    write_suite(suite, IN_ANY_CASE)
    run(suite, f"--capbench-method={method}", "--capbench-cache=other cache", "--capbench-report=other")
    assert made(suite, "other cache") == LOST
    one, other = (comparable(results(suite, name)) for name in ("one", "other"))
    if method == "identity":  # of the twin's weights, which the method left as they were, too, nothing is said either
        assert other[0].pop("artefacts").items() > one[0].pop("artefacts").items()
        other[0]["measurements"] = [m for m in other[0]["measurements"] if not m["name"].startswith("twin.")]
    assert one == other


def test_it_is_made_in_two_plans_by_train_and_a_run_finds_it(suite: pytest.Pytester) -> None:
    options = ("test_tiny.py", *MAKING, "--method=full", "--method=identity")
    trains = capbench(suite, "train", *options)
    assert trains.ret == 0, trains.err
    assert [line.partition(" (")[0] for line in lines_with(trains, "to make")] == [
        "capbench: 8 of 8 models to make",
        "capbench: 6 of 12 models to make",
    ]
    assert lines_with(trains, "capbench: a behaviour is lost in 1 of 2 tests")
    tested = run(suite, "--capbench-method=full", "--capbench-method=identity")
    tested.assert_outcomes(passed=1, failed=1)
    assert not lines_with(tested, "to make")


def test_a_plan_says_what_is_needed_at_most_and_what_if_nothing_is_lost(suite: pytest.Pytester) -> None:
    planned = capbench(suite, "plan", "test_tiny.py", *MAKING)
    assert planned.ret == 0 and trained(suite) == 0
    assert lines_with(planned, "12 models, 0 in the cache, 12 to make (20 training steps)")
    assert planned.outlines[-1] == (
        "of these, if every fine-tuned model keeps its behaviour: 6 of 6 models to make, 8 training steps, time unknown"
    )
    auto = capbench(suite, "plan", "test_tiny.py", *MAKING, "--seeds=auto")
    assert auto.outlines[-2:] == [
        "seeds=auto, 3 seeds first: 18 of 18 models to make, 30 training steps, time unknown",
        "at most, if every claim takes 12 seeds: 72 of 72 models to make, 120 training steps, time unknown",
    ]
    write_suite(suite, IN_ANY_CASE)
    assert not lines_with(capbench(suite, "plan", "test_tiny.py", *MAKING), "keeps its behaviour")


@pytest.mark.slow
@pytest.mark.parametrize("options", [("-n", "2"), ("--capbench-jobs=2",), ("--benchmark-columns=mean",)])
def test_records_do_not_depend_on_processes_or_on_what_was_made(
    suite: pytest.Pytester, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ("--capbench-method=full", "--capbench-method=identity")
    run(suite, *both, "--capbench-report=one")
    monkeypatch.setattr("capbench.session.run._WORTHWHILE", 0.0)
    result = run(suite, *both, *options, "--capbench-report=other", "--capbench-cache=other cache")
    assert comparable(results(suite, "one")) == comparable(results(suite, "other"))
    timed = "--benchmark-columns=mean" in options
    assert (made(suite) == made(suite, "other cache")) != timed  # what would be timed is not read before: all is made
    assert bool(lines_with(result, "a behaviour is lost")) != (timed or "-n" in options)


METHODS = """
import copy
from capbench import fit

def keeps(model, task, config):
    if config.lr > 2.5e-4:
        raise ValueError("not so fast")
    return copy.deepcopy(model)

def loses(model, task, config):
    fit(tuned := keeps(model, task, config), task, config)
    return tuned
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["loses", "keeps"])
def test_a_model_that_cannot_be_made_blocks_only_a_test_that_needs_it(suite: pytest.Pytester, method: str) -> None:
    """Then as if it had been needed from the start."""
    suite.path.joinpath("mine.py").write_text(METHODS)
    fast = [text.replace('c_tr=1, lr="medium"', 'c_tr=1, lr="large"') for text in (TESTS, IN_ANY_CASE)]
    results_of = []
    for name, text in zip(("one", "other"), fast, strict=True):
        write_suite(suite, text)
        result = run(
            suite, f"--capbench-method=mine.py:{method}", f"--capbench-report={name}", f"--capbench-cache={name} cache"
        )
        found = record(results(suite, name), "of.state")
        if method == "keeps" and name == "one":
            result.assert_outcomes(passed=1)
            assert found.verdict.status is Status.SUPPORTED
        else:
            result.assert_outcomes(errors=1)
            assert "failed: ValueError: not so fast" in found.verdict.reason and found.measurements == ()
        results_of.append(comparable(results(suite, name)))
    assert (results_of[0] == results_of[1]) == (method == "loses")


SEED = """
def kept(bench, base, tuned):
    '''Lost on the fourth seed alone.'''
    for c_te in (0, 1):
        yield number(bench, f"tuned.O_PT.c_te{c_te}", float(bench.seed != 3))

@about_method("of.seeds", needs_where_lost=further)
def test_seeds(judge):
    judge.measure((kept, ["base", "tuned"]), where_lost=[(weights, ["never", "twin"]), (curve, ["twin_medium"])])
    status = Status.INCONCLUSIVE if len(judge.steps) < 5 else Status.SUPPORTED
    found = at_least(judge["twin"] if judge.lost else [1.0] * 3, 0.1, "it")
    judge.decide(dataclasses.replace(found, status=status))

from capbench.results import Status
"""


@pytest.mark.slow
def test_where_a_further_seed_loses_it_all_seeds_have_the_models(suite: pytest.Pytester) -> None:
    write_suite(suite, FINDINGS + SEED)
    result = run(suite, "--capbench-method=full", "--capbench-seeds=auto", "--capbench-report=reports")
    result.assert_outcomes(passed=1)
    making = [line for line in result.outlines if "to make" in line or "lost" in line or "takes more" in line]
    assert [line.partition(" (")[0] for line in making] == [
        "capbench: 9 of 9 models to make",
        "capbench: a behaviour is lost in 0 of 1 tests that need more models where it is",
        "capbench: of.seeds is undecided at 3 seeds, and takes more",
        "capbench: 6 of 6 models to make",  # of seeds 3 and 4
        "capbench: 15 of 20 models to make",  # of all five
    ]
    found = record(results(suite), "of.seeds")
    names = ("base", "tuned", "never", "twin", "twin_medium")
    assert found.artefacts.keys() == {f"{name}/{seed}" for seed in range(5) for name in names}
    assert [m.seed for m in found.measurements if m.name == "twin"] == [0, 1, 2, 3, 4]


OWN_FIXTURE = TESTS.replace("def test_state(judge):", "def test_state(judge, tmp_path):")
EARLY = TESTS.replace("    state(judge)", "    judge.require(False, 'so it is')\n    state(judge)")


def test_a_test_that_cannot_be_asked_before_has_all_and_one_that_measures_nothing_has_none(
    suite: pytest.Pytester,
) -> None:
    write_suite(suite, OWN_FIXTURE)
    run(suite, "--capbench-method=identity").assert_outcomes(passed=1)
    assert made(suite) == LOST
    write_suite(suite, EARLY)
    run(suite, "--capbench-method=full", "--capbench-cache=early").assert_outcomes(errors=1)
    assert made(suite, "early") == KEPT


SKIPPED = """
import pathlib
@pytest.mark.skipif("not __import__('pathlib').Path('now').exists()")
@about_method("of.late", needs_where_lost=further)
def test_late(judge):
    state(judge)

@pytest.fixture(autouse=True)
def told(request):
    yield
"""


def test_a_test_that_runs_after_all_makes_its_models_then(suite: pytest.Pytester) -> None:
    before = "def test_before():\n    pathlib.Path('now').touch()\n"
    write_suite(suite, f"import pathlib\n{before}{FINDINGS}{SKIPPED}")
    result = run(suite, "--capbench-method=full", "--capbench-report=reports")
    result.assert_outcomes(passed=1, failed=1)
    assert record(results(suite), "of.late").verdict.status is Status.REFUTED
    assert made(suite) == LOST


def test_a_name_that_stands_for_two_models_is_told(suite: pytest.Pytester) -> None:
    twice = TESTS.replace('return {"never": twin.base,', 'return {"base": twin.base, "never": twin.base,')
    write_suite(suite, twice)
    result = run(suite)
    result.assert_outcomes(errors=1)
    assert lines_with(result, "'base' is one model in needs and another in needs_where_lost")
    assert trained(suite) == 0


@pytest.mark.slow
def test_what_only_a_lost_behaviour_needs_is_exported_and_bundled(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export comes before the training that it is for; a bundle is for all methods."""
    exported = capbench(suite, "export", "mine", "test_tiny.py", *MAKING, "--streams=none")
    assert exported.ret == 0 and lines_with(exported, "wrote mine: 4 fine-tunings, 4 base models"), exported.err
    monkeypatch.setattr(bundle, "FOLDER", suite.path / "zoo")
    built = capbench(suite, "zoo", "build", "test_tiny.py", "--to=zoo", *MAKING)
    assert built.ret == 0 and lines_with(built, "wrote 4 models to zoo"), built.err
    verified = capbench(suite, "zoo", "verify", "test_tiny.py", "--from=zoo")
    assert lines_with(verified, "zoo: 4 models ok, 0 old, 0 absent, 0 wrong")
    plain = run(suite, "--capbench-cache=other", "--capbench-method=full")
    assert len(lines_with(plain, "2 base models taken from the package")) == 2
    retrained = run(suite, "--capbench-cache=other", "--capbench-method=full", "--capbench-retrain")
    assert not lines_with(retrained, "taken from the package") and made(suite, "other/retrained") == LOST
    found = read(suite.path / "zoo")
    assert found is not None and len(found.by_key) == 4
