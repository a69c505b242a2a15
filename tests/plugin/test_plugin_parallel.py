"""The same values however the work is spread; a second run trains nothing; damage in the cache is noticed and mended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from test_plugin_expect import MODEL, UNDECIDED, expect
from test_plugin_expect import TESTS as EXPECTED
from test_plugin_variants import ALWAYS
from test_plugin_variants import TESTS as ON_VARIANTS
from tiny_suite import comparable, lines_with, record, results, run, trained, write_suite

from capbench.session.reading_ahead import read_ahead

TESTS = """
def by_prior(study, seed, case):
    return {"base": tiny(study).base(seed, prior=case.prior)}

@about_base("par.base", needs=by_prior)
@pytest.mark.parametrize("case", [Case(prior="low"), Case(prior="high")], ids=str)
def test_base(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))

@about_method("par.tuned")
def test_tuned(judge):
    judge.measure((weights, ["base", "tuned"]))
    judge.control("weights of the base", judge["base"], low=0.5)
    judge.decide(at_most(judge["tuned"], 0.5, "weights"))

def revived(study, seed, case):
    models = tuned(study, seed, case)
    return {**models, "reft": tiny(study).revival(models["tuned"], seed, lr="medium")}

def curve(bench, reft):
    yield number(bench, "last", reft.curve("O_PT")[-1][1])
    yield number(bench, "loss", reft.meta["loss"][-1][1])

@about_method("par.revived", needs=revived)
def test_revived(judge):
    judge.measure((curve, ["reft"]))
    judge.decide(at_least(judge["loss"], 0.5, "loss"))

def test_plain():
    pass
"""
AGAIN = """
import pathlib

@pytest.mark.claim("par.again", source="Fig. 0", needs=lambda study, seed, case: {})
@pytest.mark.flaky(reruns=1)
def test_again(judge, pytestconfig):
    seen = pathlib.Path(f"{pytestconfig.option.capbench_report}.seen")
    held = seen.exists()
    seen.touch()
    judge.decide(at_least([float(held)], 0.5, "attempt"))
"""
STEPS = 10  # initialised, two bases, tuned, reft: five models for each of two seeds
READINGS = 8  # two cases of the base and one reading of each other test, on two seeds


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


@pytest.mark.slow
def test_values_variants_and_expectations_do_not_depend_on_jobs_or_xdist(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS + EXPECTED + ON_VARIANTS + ALWAYS + AGAIN)
    option = expect(
        pytester, "claim out.refuted -> refuted", "claim out.s* -> invalid", "claim out.refutd -> refuted",
        "claim model.extended* -> refuted", "verdict * -> deleted",
    )  # fmt: skip
    ways = {"one": ("-n", "0"), "jobs": ("--capbench-jobs=2",), "xdist": ("-n", "2")}
    for name, options in ways.items():
        result = run(
            *(pytester, option, *options, "--capbench-variants=2"),
            *(f"--capbench-cache={name} cache", f"--capbench-report={name}"),
        )
        deselected = 0 if name == "xdist" else 1
        result.assert_outcomes(passed=4 + 1 + 2 + 1, failed=1 + 1 + 1, xfailed=2, errors=2, deselected=deselected)
        assert result.parseoutcomes()["rerun"] == 1
        assert not lines_with(result, "INTERNALERROR")
        assert result.stdout.str().count("claims at scale small") == 1  # one table, one report
        assert len(lines_with(result, f"FAILED {MODEL} (full): {UNDECIDED}")) == 1 and result.ret == 1
        (line,) = lines_with(result, " matches no ")  # the extended claim was collected, by the workers too
        assert line.startswith("warning: mine.toml: [[claim]] 'out.refutd' matches no collected claim")
    one, jobs, xdist = (results(pytester, name) for name in ways)
    assert len(one.records) == 4 + 6 + 3 + 1
    assert record(one, "par.again").verdict.effect == 1.0  # the last attempt's
    assert {r.claim for r in one.records if r.trials} == {"var.positive", "var.always"}
    assert comparable(one) == comparable(jobs)
    assert comparable(one) == comparable(xdist)
    assert (one.run.seeds, one.run.methods) == (xdist.run.seeds, xdist.run.methods)
    by_run = [{r.claim: r.expected for r in way.records} for way in (one, xdist)]
    assert by_run[0] == by_run[1] and by_run[0]["out.refuted"] == "refuted: r"
    again = json.loads(json.dumps(comparable(one)))
    next(r for r in again if r.get("measurements"))["measurements"][0]["value"] += 1e-6
    assert again != comparable(xdist)  # the comparison sees what it should


@pytest.mark.slow
def test_what_is_read_ahead_changes_nothing_and_is_not_read_ahead_where_it_is_timed(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pytester, "--capbench-report=one")
    read: list[int] = []

    def noted(tests: Iterable[Any], root: Path, **how: Any) -> None:
        found = list(tests)
        read.append(len(found))
        read_ahead(found, root, **how)

    monkeypatch.setattr("capbench.session.run._WORTHWHILE", 0.0)
    monkeypatch.setattr("capbench.session.reading_ahead.read_ahead", noted)
    jobs = ("--capbench-jobs=2", "--capbench-cache=jobs cache")
    run(pytester, *jobs, "--capbench-report=jobs")
    assert read == [4]
    assert comparable(results(pytester, "one")) == comparable(results(pytester, "jobs"))
    run(pytester, *jobs, "--benchmark-columns=mean")
    run(pytester, "--capbench-report=again")  # one job
    assert read == [4]


def test_a_second_run_trains_nothing_and_says_the_same(pytester: pytest.Pytester) -> None:
    first = run(pytester, "--capbench-report=first")
    assert lines_with(first, f"capbench: {STEPS} of {STEPS} models to make (16 training steps), 1 at a time")
    assert lines_with(first, "capbench: models made in")
    made = files(pytester)
    assert trained(pytester) == STEPS + READINGS
    second = run(pytester, "--capbench-report=second")
    assert not lines_with(second, "models to make")
    assert not lines_with(second, "models made")
    assert files(pytester) == made  # not even the same again
    assert comparable(results(pytester, "first")) == comparable(results(pytester, "second"))


def test_an_interrupted_cache_is_completed_and_nothing_is_made_twice(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-report=part", "-k", "par.base")
    before = files(pytester)
    rest = run(pytester, "--capbench-report=rest")
    assert lines_with(rest, f"capbench: 4 of {STEPS} models to make")
    after = files(pytester)
    assert {path: after[path] for path in before} == before


def test_damaged_artefacts_are_told_of_made_anew_and_change_no_result(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-report=before").assert_outcomes(passed=4, failed=1)
    pretrained, tuned, reading = (one_of(pytester, kind) for kind in ("Pretrain", "FineTune", "Reading"))
    damage(pretrained / "tensors.safetensors", flip=True)
    damage(tuned / "meta.json", flip=False)
    damage(reading / "meta.json", flip=True)
    result = run(pytester, "--capbench-report=after", "-W", "default")
    result.assert_outcomes(passed=4, failed=1, warnings=1)
    assert lines_with(result, f"capbench: 2 of {STEPS} models to make")
    for folder in (pretrained, tuned, reading):
        assert len(lines_with(result, f"artefact {folder.name} is damaged (")) == 1
        assert (folder / "meta.json").is_file()
    assert len(lines_with(result, "is damaged (")) == 3
    assert len(list((pytester.path / "cache" / "damaged").iterdir())) == 3
    assert comparable(results(pytester, "before")) == comparable(results(pytester, "after"))


@pytest.mark.slow
def test_a_run_with_warnings_as_errors_survives_a_damaged_artefact(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-report=before")
    damage(one_of(pytester, "Pretrain") / "tensors.safetensors", flip=True)
    result = run(pytester, "--capbench-report=after", "-W", "error", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    assert not lines_with(result, "INTERNALERROR")
    result.assert_outcomes(passed=4, failed=1)
    assert comparable(results(pytester, "before")) == comparable(results(pytester, "after"))


def test_a_cache_folder_with_spaces_and_umlauts_in_its_name_works(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-cache=ein Ordner ü").assert_outcomes(passed=4, failed=1)
    assert trained(pytester, "ein Ordner ü") == STEPS + READINGS


def test_a_moved_cache_is_still_good(pytester: pytest.Pytester) -> None:
    run(pytester, "--capbench-report=before")
    shutil.move(pytester.path / "cache", pytester.path / "elsewhere")
    moved = run(pytester, "--capbench-cache=elsewhere", "--capbench-report=after")
    assert not lines_with(moved, "models to make")
    assert comparable(results(pytester, "before")) == comparable(results(pytester, "after"))


def files(pytester: pytest.Pytester) -> dict[str, tuple[int, int]]:
    """Every file of the cache's artefacts with its time and inode: rewritten files show."""
    root = pytester.path / "cache" / "artefacts"
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.rglob("*") if p.is_file()}


def one_of(pytester: pytest.Pytester, kind: str) -> Path:
    """The folder of one artefact of this kind."""
    every = sorted((pytester.path / "cache" / "artefacts").glob("*/*/meta.json"))
    return next(p.parent for p in every if json.loads(p.read_text())["kind"] == kind)


def damage(file: Path, *, flip: bool) -> None:
    """Flip one bit in the middle, or cut the file there."""
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    if flip:
        data[middle] ^= 1
    file.write_bytes(bytes(data if flip else data[:middle]))
