"""The bundled base models through pytest and the `capbench zoo` command: built, taken by runs, checked; mistakes in one line."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tiny_suite import MAKING, Ended, capbench, comparable, lines_with, results, run, trained, write_suite
from tiny_zoo import same

import capbench.zoo.bundle as bundle
from capbench.store.keys import key_of
from capbench.store.store import Store
from capbench.zoo.command import Selection, recorded
from capbench.zoo.manifest import read

TESTS = """
@about_base("of.base")
def test_base(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "it"))

@about_method("of.tuned")
def test_tuned(judge):
    judge.measure((weights, ["tuned"]))
    judge.decide(at_least(judge["tuned"], 0.5, "it"))
"""


def test_the_recorded_command_holds_no_directory_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = Selection(tests=(f"{tmp_path}/suites/test_a.py::test_one", "/elsewhere/mine.py", "sub/b.py"))
    assert recorded(given, scale="small", seeds=3, extended=False) == (
        "capbench zoo build --scale=small --seeds=3 suites/test_a.py::test_one mine.py sub/b.py"
    )
    some = Selection(tests=("suites/",), keyword="of.base or it", marks="claim")
    assert recorded(some, scale="smoke", seeds=1, extended=True, pool=True, precision="bfloat16", device="cuda") == (
        "capbench zoo build --scale=smoke --seeds=1 --extended --pool --precision=bfloat16 --device=cuda "
        "-k 'of.base or it' -m claim suites/"
    )


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    write_suite(pytester, TESTS)
    monkeypatch.setattr(bundle, "FOLDER", pytester.path / "zoo")
    return pytester


def build(suite: pytest.Pytester, *words: str) -> Ended:
    return capbench(suite, "zoo", "build", "test_tiny.py", "--to=zoo", *MAKING, *words)


def verify(suite: pytest.Pytester, *words: str) -> Ended:
    return capbench(suite, "zoo", "verify", "test_tiny.py", "--from=zoo", *words)


def test_a_run_takes_what_was_built_unless_told_to_train(suite: pytest.Pytester) -> None:
    built = build(suite)
    assert built.ret == 0 and lines_with(built, "wrote 2 models to zoo: 0.0 MB"), built.err
    found = read(suite.path / "zoo")
    assert found is not None and found.command == "capbench zoo build --scale=small --seeds=2 test_tiny.py"
    assert trained(suite) == 6  # two initialisations, two base models, and what is read of these

    plain = run(suite, "--capbench-cache=other")
    assert plain.ret == 0 and lines_with(plain, "2 base models taken from the package")
    assert lines_with(plain, "4 of 6 models to make (4 training steps)")
    retrained = run(suite, "--capbench-cache=other", "--capbench-retrain")
    assert retrained.ret == 0 and not lines_with(retrained, "taken from the package")
    assert lines_with(retrained, "6 of 6 models to make (8 training steps)")
    kept = [Store(suite.path / place) for place in ("cache", "other", "other/retrained")]
    assert all(same(kept[0], other, key) for other in kept[1:] for key in found.by_key)
    again = run(suite, "--capbench-cache=other", "--capbench-retrain")
    assert again.ret == 0 and not lines_with(again, "to make")


MEASURED = """
from capbench.studies.lab import made_of
from capbench.studies.readings import by_model

def size(bench, model):
    yield number(bench, "size", sum(p.numel() for p in model.model.parameters()))

@made_of(size)
def sizes(bench, **models):
    yield from by_model(bench, size, models)

def curves(study, seed, case):
    found = tuned(study, seed, case)
    revive = lambda start: tiny(study).revival(start, seed, lr="medium")
    scratch = tiny(study).initialised(seed)
    return {**found, "reft_medium": revive(found["tuned"]), "scr_medium": revive(scratch)}

@about_method("of.curves", needs=curves)
@pytest.mark.parametrize("names", [["base", "tuned"]])
def test_curves(judge, names):
    judge.measure((values, []))
    judge.require(judge["one"][0] == 1, "it is read of no model")
    judge.measure((sizes, names), (weights, ["tuned"]))
    judge.decide(at_least(judge["base.size"], 1, "it"))

@about_method("of.lost")
def test_lost(judge):
    judge.measure((values, []), where_lost=[(weights, ["base"])])

@about_method("of.more")
def test_more(judge, tmp_path):
    judge.measure((weights, ["base"]))
"""


@pytest.mark.slow
def test_curves_and_readings_that_hang_on_no_method_are_built_and_taken(suite: pytest.Pytester) -> None:
    """The curve of Scr. and what is read of base models alone, within a reading of several and where something is lost too."""
    write_suite(suite, TESTS + MEASURED)
    built = build(suite)
    assert built.ret == 0 and lines_with(built, "with 2 curves of revivals and 8 readings"), built.err
    assert lines_with(verify(suite), "2 curves of revivals: as the suites ask for")
    assert lines_with(verify(suite), "zoo: 2 models ok", "curves and readings: 10 ok, 0 old, 0 absent, 0 wrong")
    plain = run(suite, "--capbench-cache=other", "--capbench-report=taken")
    assert lines_with(plain, "2 base models and 2 curves of revivals taken from the package")
    documents = list(Store(suite.path / "other").documents())
    taken = [d["kind"] for _, d in documents if d["meta"].get("bundled")]
    assert sorted(taken) == ["Pretrain"] * 2 + ["Reading"] * 8 + ["Revive"] * 2
    run(suite, "--capbench-cache=other", "--capbench-report=made", "--capbench-retrain")
    assert comparable(results(suite, "taken")) == comparable(results(suite, "made"))
    assert not any(d["meta"].get("bundled") for _, d in Store(suite.path / "other/retrained").documents())


def test_rekey_measures_anew(suite: pytest.Pytester) -> None:
    write_suite(suite, TESTS + MEASURED)
    assert build(suite).ret == 0
    before = read(suite.path / "zoo")
    older(suite.path / "zoo")
    words = ("test_tiny.py", "--from=zoo", "--cache=new", "--jobs=1", "--bits=bits.json")
    assert capbench(suite, "zoo", "trace", *words).ret == 0
    done = capbench(suite, "zoo", "rekey", *words)
    assert done.ret == 0 and lines_with(done, "2 of 2 models in zoo have new keys"), done.err
    assert lines_with(done, "2 curves of revivals and 8 readings beside them")
    after = read(suite.path / "zoo")
    assert before is not None and after is not None and after.recorded == before.recorded
    assert verify(suite).ret == 0


def test_the_recorded_command_makes_the_same_models_again(suite: pytest.Pytester) -> None:
    """Also of a part of the tests, and in another precision; `verify` with the same choice finds all well."""
    other = 'lambda study, seed, case: {"base": tiny(study).base(seed, prior="high")}'
    more = f'\n@about_base("of.other", needs={other})\ndef test_other(judge): ...\n'
    write_suite(suite, TESTS + more)
    options = ("--precision=bfloat16", "-k", "of.base or of.tuned")
    assert build(suite, *options).ret == 0
    found = read(suite.path / "zoo")
    assert found is not None and len(found.models) == 2
    program, *words = shlex.split(found.command)
    assert program == "capbench" and capbench(suite, *words, "--to=again", "--cache=cache").ret == 0
    again = read(suite.path / "again")
    assert again is not None and (again.by_key.keys(), again.command) == (found.by_key.keys(), found.command)
    assert verify(suite, *options).ret == 0
    assert lines_with(verify(suite, "-k", "of.base"), "absent", "pretrain")  # in float32


def test_extended_claims_scales_and_marks_choose_the_models(suite: pytest.Pytester) -> None:
    high = 'needs=lambda study, seed, case: {"base": tiny(study).base(seed, prior="high")}'
    more = f'\n@pytest.mark.extended\n@about_base("of.more", {high})\ndef test_more(judge): ...\n'
    write_suite(suite, TESTS + more)
    suite.mkdir("suites").joinpath("test_all.py").write_text((suite.path / "test_tiny.py").read_text())
    options = ("--to=zoo", "--scale=smoke", "--seeds=1", "--cache=cache", "--jobs=1")
    assert capbench(suite, "zoo", "build", *options, "--extended").ret == 0  # the suites in this folder
    found = read(suite.path / "zoo")
    assert found is not None and len(found.models) == 2
    assert found.command == "capbench zoo build --scale=smoke --seeds=1 --extended"
    well = capbench(suite, "zoo", "verify", "--from=zoo")  # of what the manifest says, extended claims too
    assert well.ret == 0 and lines_with(well, "zoo: 2 models ok, 0 old, 0 absent, 0 wrong")
    assert capbench(suite, "zoo", "build", *options, "--extended", "-m", "extended").ret == 0
    marked = read(suite.path / "zoo")
    assert marked is not None and len(marked.models) == 1


def test_a_plan_does_not_count_what_the_package_has(suite: pytest.Pytester) -> None:
    build(suite)
    plan = ("plan", "test_tiny.py", *MAKING, "--cache=other")
    assert lines_with(
        capbench(suite, *plan), "6 models, 0 in the cache, 2 in the package, 4 to make (4 training steps)"
    )
    assert lines_with(capbench(suite, *plan, "--retrain"), "6 models, 0 in the cache, 6 to make (8 training steps)")
    (suite.path / "zoo/manifest.json").write_text("{")
    assert lines_with(capbench(suite, *plan), "6 models, 0 in the cache, 6 to make (8 training steps)")


def test_a_cache_that_cannot_take_a_model_is_one_line(suite: pytest.Pytester) -> None:
    build(suite)
    found = read(suite.path / "zoo")
    assert found is not None
    for key in found.by_key:
        (Store(suite.path / "other").root / "artefacts" / key[:2]).write_text("a file where a folder should be")
    result = run(suite, "--capbench-cache=other")
    assert result.ret == 1 and lines_with(result, "capbench: nothing was tested: cannot save artefact")
    assert not lines_with(result, "INTERNALERROR")
    trained_ahead = capbench(suite, "train", "test_tiny.py", *MAKING, "--cache=other")
    assert trained_ahead.ret == 1 and lines_with(trained_ahead, "capbench: error: cannot save artefact")


def test_verify_s_exit_code_says_whether_all_is_well(suite: pytest.Pytester) -> None:
    build(suite, "-k", "of.base")
    good = verify(suite)
    assert (good.ret, good.err) == (0, "") and lines_with(good, "zoo: 2 models ok, 0 old, 0 absent, 0 wrong")
    file = suite.path / "test_tiny.py"
    file.write_text(file.read_text().replace("pretrain_steps=2", "pretrain_steps=3"))
    changed = verify(suite)
    assert changed.ret == 1 and lines_with(changed, "absent", "pretrain")
    assert lines_with(changed, "run capbench zoo build")


def older(folder: Path) -> None:
    """As if all models had been made by another version of the code."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["models"]:
        entry["config"]["code"] = entry["code"] = "0123"
        entry["key"] = key_of({**entry["config"], "start": key_of(entry["config"]["start"])})
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_rekey_trains_in_few_steps_and_writes_the_new_keys(suite: pytest.Pytester) -> None:
    assert build(suite).ret == 0
    before = read(suite.path / "zoo")
    words = ("zoo", "rekey", "test_tiny.py", "--from=zoo", "--cache=cache", "--jobs=1", "--bits=bits.json")
    traced = capbench(suite, "zoo", "trace", *words[2:])
    assert (traced.ret, traced.err) == (0, "") and lines_with(traced, "of 2 models give to bits.json")
    older(suite.path / "zoo")
    assert lines_with(verify(suite), "zoo: 0 models ok, 2 old")
    without = capbench(suite, *words[:-1])
    assert without.ret == 2 and "2 models are of other code: give --bits=FILE" in without.err
    done = capbench(suite, *words)
    assert (done.ret, done.err) == (0, "") and lines_with(done, "2 of 2 models in zoo have new keys")
    assert lines_with(capbench(suite, *words[:-1]), "0 of 2 models in zoo have new keys")
    after = read(suite.path / "zoo")
    assert before is not None and after is not None and after.by_key.keys() == before.by_key.keys()
    assert verify(suite).ret == 0
    assert lines_with(capbench(suite, *words), "0 of 2 models")
    (suite.path / "empty").mkdir()
    nothing = capbench(suite, *words[:3], "--from=empty", "--bits=bits.json")
    assert nothing.ret == 2 and "'empty' has no manifest.json" in nothing.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("zoo eat", ["'eat'", "'build', 'verify', 'trace', 'rekey'"]),
        ("zoo", ["COMMAND"]),
        ("zoo build --report=reports", ["--report=reports", "not of `capbench zoo build`", "omit it"]),
        ("zoo build --retrain", ["--retrain", "not of `capbench zoo build`", "omit it"]),
        ("zoo build --method=full", ["--method=full", "not of `capbench zoo build`", "omit it"]),
        ("zoo build -n 2", ["-n", "zoo build --help"]),
        ("zoo verify --scale=small", ["--scale=small", "not of `capbench zoo verify`"]),
        ("zoo build --to=test_tiny.py", ["--to=test_tiny.py", "is a file"]),
        ("zoo build --to=test_tiny.py/in", ["is not writable"]),
        ("zoo verify --from=nowhere", ["--from=nowhere", "there is no such folder"]),
        ("zoo rekey --bits=b --from=nowhere", ["--from=nowhere", "there is no such folder"]),
        ("zoo rekey test_tiny.py --bits=nowhere", ["--bits=nowhere", "`capbench zoo trace` wrote"]),
        ("zoo verify --from=damaged", ["it is not JSON"]),
        ("zoo build test_tiny.py -k nothing", ["no test was collected"]),
        ("zoo build test_plain.py", ["none of the collected tests needs a pretrained model"]),
    ],
)
def test_a_mistake_is_one_line(suite: pytest.Pytester, words: str, parts: list[str]) -> None:
    suite.mkdir("damaged").joinpath("manifest.json").write_text("{")
    suite.path.joinpath("test_plain.py").write_text("def test_nothing(): ...\n")
    result = capbench(suite, *words.split())
    assert result.ret == (5 if "nothing" in words else 2) and len(result.errlines) == 1, result.err
    assert [part for part in parts if part not in result.err] == [], result.err
    assert not (suite.path / "cache").exists()


def test_a_model_that_cannot_be_made_ends_the_build_with_1(suite: pytest.Pytester) -> None:
    file = suite.path / "test_tiny.py"
    file.write_text(file.read_text().replace("n_heads=1", "n_heads=3"))
    result = build(suite)
    assert result.ret == 1 and lines_with(result, "nothing was bundled: ", "must be a multiple of n_heads 3")
    assert not (suite.path / "zoo").exists() and "Traceback" not in result.err
