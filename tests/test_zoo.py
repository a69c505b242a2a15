"""Base models that come with the package: bundled to the bit, taken where the key is the same, checked, and never written to."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from cli_runs import run as capbench
from tiny_study import BASE, START, TRAIN
from tiny_suite import lines_with, run, trained, write_suite

import capbench.zoo.bundle as bundle
from capbench import running
from capbench.errors import CapbenchError, UsageError
from capbench.pipeline.plan import Plan
from capbench.pipeline.steps import Pretrain
from capbench.presets import SCALES
from capbench.protocols.studies import STUDIES
from capbench.store import Store
from capbench.zoo.bundle import build, fill, load
from capbench.zoo.manifest import FOLDER, Manifest, read
from capbench.zoo.verify import Finding, summary, verify

OTHER = replace(BASE, train=replace(TRAIN, seed=1))
LONGER = replace(BASE, train=replace(TRAIN, steps=8))  # never bundled here
STEPS = [BASE, OTHER]
Captured = pytest.CaptureFixture[str]


def bundled(folder: Path, store: Store, steps: list[Pretrain] = STEPS) -> Manifest:
    assert Plan(steps).run(store, jobs=1) == {}
    return build(folder, steps, store, scale="tiny", seeds=(0,), command="capbench zoo build")


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A cache in which the models were trained."""
    return Store(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="module")
def original(origin: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundled(place := tmp_path_factory.mktemp("zoos") / "zoo", origin)
    return place


@pytest.fixture
def zoo(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two bundled models, in place of the package's."""
    place = shutil.copytree(original, tmp_path / "zoo")
    monkeypatch.setattr(bundle, "FOLDER", place)
    return place


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def make(store: Store, *steps: Pretrain, **more: Any) -> list[str]:
    """Make the steps; what was said."""
    said: list[str] = []
    assert running.make(Plan(steps), store, jobs=1, say=said.append, **more) == {}
    return said


def same(left: Store, right: Store, key: str) -> bool:
    """The same bits, and the same of their training but for the time that it took."""
    one, other = left.load(key), right.load(key)
    assert one is not None and other is not None
    meta = [{**artefact.meta, "seconds": None} for artefact in (one, other)]
    return (
        one.tensors.keys() == other.tensors.keys()
        and all(one.tensors[name].equal(other.tensors[name]) for name in one.tensors)
        and meta[0] == meta[1]
    )


def change(folder: Path, how: Callable[[Any], object]) -> None:
    file = folder / "manifest.json"
    how(raw := json.loads(file.read_text()))
    file.write_text(json.dumps(raw))


def file_of(folder: Path, step: Pretrain = BASE) -> Path:
    return folder / f"models/{step.key}.safetensors"


# ---- taking models


def test_an_empty_cache_is_filled_with_the_same_bits(zoo: Path, origin: Store, empty: Store) -> None:
    filled = fill(empty, Plan(STEPS).missing(empty))
    assert filled.taken == {step.key for step in STEPS} and filled.warnings == ()
    for step in STEPS:
        one, other = origin.load(step.key), empty.load(step.key)
        assert one is not None and other is not None and one.meta == other.meta  # the time that it took, too
        assert same(origin, empty, step.key)
        (files,) = [[s.root / f"artefacts/{step.key[:2]}/{step.key}/tensors.safetensors" for s in (origin, empty)]]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_what_a_run_takes_is_said_and_the_rest_is_trained(zoo: Path, empty: Store) -> None:
    said = make(empty, BASE, LONGER)
    assert said[0] == "capbench: 1 base model taken from the package"
    assert said[1].startswith("capbench: 2 of 3 models to make (8 training steps)")  # START and LONGER
    assert make(empty, BASE, LONGER) == []
    assert make(empty, OTHER)[0] == "capbench: 1 base model taken from the package"


def test_other_keys_are_not_taken(zoo: Path, empty: Store) -> None:
    assert fill(empty, [START, LONGER, replace(BASE, start=replace(START, seed=5))]).taken == frozenset()
    assert not any(empty.root.glob("artefacts/*/*"))


def test_without_a_manifest_nothing_is_taken_and_nothing_said(tmp_path: Path, empty: Store) -> None:
    assert fill(empty, STEPS, tmp_path) == fill(empty, STEPS, tmp_path / "nowhere") == bundle.Filled()


def test_what_is_in_the_cache_already_is_kept(zoo: Path, empty: Store) -> None:
    make(empty, BASE, bundled=False)
    made = {file: file.stat().st_mtime_ns for file in empty.root.glob("artefacts/*/*/*")}
    assert make(empty, BASE) == [] and fill(empty, [BASE]).taken == {BASE.key}
    assert {file: file.stat().st_mtime_ns for file in empty.root.glob("artefacts/*/*/*")} == made


def test_a_damaged_artefact_of_the_cache_is_replaced_from_the_package(zoo: Path, origin: Store, empty: Store) -> None:
    make(empty, BASE)
    (file,) = empty.root.glob(f"artefacts/*/{BASE.key}/tensors.safetensors")
    file.write_bytes(b"")
    said = make(empty, BASE)
    assert "is damaged" in said[0] and said[1:] == ["capbench: 1 base model taken from the package"]
    assert same(origin, empty, BASE.key)


def flip(folder: Path) -> str:
    content = bytearray(file_of(folder).read_bytes())
    content[-1] ^= 1
    file_of(folder).write_bytes(content)
    return "SHA-256 differs"


def cut(folder: Path) -> str:
    file_of(folder).write_bytes(file_of(folder).read_bytes()[:100])
    return "SHA-256 differs"


def lose(folder: Path) -> str:
    file_of(folder).unlink()
    return "is missing"


def turn_into_a_folder(folder: Path) -> str:
    file_of(folder).unlink()
    file_of(folder).mkdir()
    return "cannot be read"


def put(folder: Path, content: bytes) -> None:
    """Other content, and the manifest agrees."""
    file_of(folder).write_bytes(content)
    said = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    change(folder, lambda raw: next(m for m in raw["models"] if m["key"] == BASE.key).update(said))


def no_safetensors(folder: Path) -> str:
    put(folder, b"nonsense")
    return "is no file of a bundled model"


def bare_weights(folder: Path) -> str:
    put(folder, safetensors.torch.save(safetensors.torch.load_file(file_of(folder))))
    return "is no file of a bundled model"


DAMAGE = [flip, cut, lose, turn_into_a_folder, no_safetensors, bare_weights]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model_is_a_warning_and_trained(
    zoo: Path, origin: Store, empty: Store, damage: Callable[[Path], str]
) -> None:
    words = damage(zoo)
    said = make(empty, BASE, OTHER)
    (warning,) = (line for line in said if "warning" in line)
    assert words in warning and BASE.label in warning and warning.endswith("it is trained anew")
    assert "capbench: 1 base model taken from the package" in said  # the other
    assert same(origin, empty, BASE.key)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw.update(schema=7), "has schema 7"),
        (lambda raw: raw.pop("models"), "'models' is missing"),
        (lambda raw: raw["models"][0].update(key="../../x"), "is no key of a model"),
        (lambda raw: raw["models"].append(raw["models"][0]), "names a model twice"),
        (lambda raw: raw["models"][0].update(size="7"), "should be a int"),
    ],
)
def test_a_damaged_manifest_is_one_warning_and_all_is_trained(
    zoo: Path, empty: Store, damage: Callable[[Any], object], words: str
) -> None:
    change(zoo, damage)
    said = make(empty, *STEPS)
    assert words in said[0] and "are not used" in said[0] and "\n" not in said[0]
    assert said[1].startswith("capbench: 3 of 3 models to make")


def test_a_manifest_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="it is no JSON"):
        read(tmp_path)


def test_a_package_that_may_only_be_read_is_enough(zoo: Path, empty: Store) -> None:
    content = {file: file.read_bytes() for file in zoo.rglob("*") if file.is_file()}
    places = [zoo, *zoo.rglob("*")]
    try:
        for place in places:
            place.chmod(place.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
        assert len(fill(empty, STEPS).taken) == 2
    finally:
        for place in places:
            place.chmod(place.stat().st_mode | stat.S_IWUSR)
    assert {file: file.read_bytes() for file in zoo.rglob("*") if file.is_file()} == content


def test_two_processes_that_fill_at_once_agree(zoo: Path, origin: Store, empty: Store) -> None:
    program = (
        "import sys, safetensors.torch; from pathlib import Path; from tiny_study import *\n"
        "from capbench.zoo.bundle import fill\n"
        "steps = [BASE, replace(BASE, train=replace(TRAIN, seed=1))]; print('ready', flush=True); sys.stdin.readline()\n"
        "print(len(fill(Store(sys.argv[1]), steps, Path(sys.argv[2])).taken))"
    )
    command = [sys.executable, "-c", program, str(empty.root), str(zoo)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=Path(__file__).parent, **pipes) for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[0] for process in both] == ["2\n", "2\n"]
    assert all(same(origin, empty, step.key) for step in STEPS) and not list(empty.root.glob("tmp/*"))


# ---- bundling


def test_the_manifest_says_what_each_model_is_and_how_it_was_made(original: Path, origin: Store) -> None:
    found = read(original)
    assert found is not None and found.command == "capbench zoo build" and found.seeds == (0,)
    assert set(found.by_key) == {step.key for step in STEPS}
    entry, artefact = found.by_key[BASE.key], origin.load(BASE.key)
    assert artefact is not None and entry.accuracies == {"O_PT": artefact.meta["curves"]["O_PT"][-1][1]}
    assert (entry.steps, entry.label, entry.code) == (6, BASE.label, BASE.config["code"])
    assert entry.config == {**BASE.config, "start": START.config} and entry.config["start"]["model"]["d_model"] == 8
    content = file_of(original).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (entry.sha256, entry.size)
    assert load(original, entry)[1] == artefact.meta
    # Anybody can read a file: it is plain safetensors, float32.
    assert {t.dtype for t in safetensors.torch.load_file(file_of(original)).values()} == {torch.float32}


def test_building_again_gives_the_same_files_and_leaves_no_old_ones(zoo: Path, origin: Store) -> None:
    before = {file: file.read_bytes() for file in zoo.rglob("*") if file.is_file()}
    bundled(zoo, origin)
    assert {file: file.read_bytes() for file in zoo.rglob("*") if file.is_file()} == before
    bundled(zoo, origin, [OTHER])
    assert sorted(f.name for f in zoo.rglob("*")) == sorted(["manifest.json", "models", file_of(zoo, OTHER).name])


def test_too_large_is_refused_and_changes_nothing(zoo: Path, origin: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LIMIT", 5000)
    before = sorted(zoo.rglob("*"))
    with pytest.raises(CapbenchError, match=r"2 base models take .* MB, and at most 0.005 are bundled"):
        bundled(zoo, origin)
    assert sorted(zoo.rglob("*")) == before


def test_training_again_finds_the_same_weights(zoo: Path, empty: Store) -> None:
    """What is bundled is what training makes: here to the bit, as it is the same machine."""
    other = Store(empty.root / "other")
    assert make(empty, BASE)[0] == "capbench: 1 base model taken from the package"
    make(other, BASE, bundled=False)
    assert same(empty, other, BASE.key)


@pytest.mark.skipif(not os.environ.get("CAPBENCH_THOROUGH"), reason="trains a model of scale small: minutes")
def test_the_cheapest_model_of_the_package_is_what_training_makes(empty: Store) -> None:
    manifest = read(FOLDER)
    if manifest is None:
        pytest.skip("nothing is bundled")
    study: Any = STUDIES["pcfg-counter"](SCALES[manifest.scale](), None, "cpu")
    steps = [study.base(0, prior=prior, duration=share) for prior in ("low", "never", "high") for share in (0.5, 1)]
    step = min(
        (s for s in steps if s.key in manifest.by_key), key=lambda s: s.cost
    )  # none: `capbench zoo verify` fails
    make(empty, step, bundled=False)
    entry, artefact = manifest.by_key[step.key], empty.load(step.key)
    assert artefact is not None
    for name, expected in load(FOLDER, entry)[0].items():
        torch.testing.assert_close(artefact.tensors[name], expected, rtol=1e-2, atol=1e-3, msg=name)


def test_the_package_s_own_models_are_whole() -> None:
    """Whatever is bundled: every file as the manifest has it, none besides, 30 MB in all."""
    manifest = read(FOLDER)
    entries = () if manifest is None else manifest.models
    for entry in entries:
        load(FOLDER, entry)
    files = {f"models/{file.name}" for file in FOLDER.glob("models/*")}
    assert files == {entry.file for entry in entries} and sum(entry.size for entry in entries) <= bundle.LIMIT


# ---- verify


def marks(folder: Path, *wanted: Pretrain) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in verify(folder, wanted or STEPS):
        found.setdefault(finding.mark, []).append(finding)
    return found


def test_what_is_as_it_should_be(zoo: Path) -> None:
    found = marks(zoo)
    assert list(found) == ["ok"] and len(found["ok"]) == 2 and "weakest: O_PT at " in found["ok"][0].message
    assert "2 base models as they should be, 0 old, 0 absent, 0 wrong" in summary(zoo, found["ok"])


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_model_is_wrong(zoo: Path, damage: Callable[[Path], str]) -> None:
    words = damage(zoo)
    found = marks(zoo)
    (wrong,) = found["WRONG"]
    assert words in wrong.message and wrong.what == f"{BASE.label}, 6 steps" and len(found["ok"]) == 1


def reshape(folder: Path, how: Callable[[dict[str, torch.Tensor]], object]) -> None:
    manifest = read(folder)
    assert manifest is not None
    tensors, meta = load(folder, manifest.by_key[BASE.key])
    how(tensors)
    put(folder, safetensors.torch.save(tensors, metadata={"capbench": json.dumps(meta)}))


def manifests_model(raw: Any) -> Any:
    return next(m for m in raw["models"] if m["key"] == BASE.key)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda z: reshape(z, lambda t: t.update({"norm.bias": torch.zeros(9)})), "has 'norm.bias' as (9,)"),
        (lambda z: reshape(z, lambda t: t.pop("norm.bias")), "has 'norm.bias' as None"),
        (lambda z: reshape(z, lambda t: t["norm.bias"].fill_(float("nan"))), "not all finite"),
        (lambda z: change(z, lambda raw: manifests_model(raw)["config"].update(watch_every=3)), "not the key"),
        (lambda z: change(z, lambda raw: manifests_model(raw)["config"]["start"].update(seed=3)), "not the key"),
        (lambda z: change(z, lambda raw: manifests_model(raw).update(size=1)), "has not the size"),
        (lambda z: change(z, lambda raw: manifests_model(raw)["accuracies"].update(O_PT=0.99)), "accuracies are"),
        (lambda z: (z / "models/abc.safetensors").write_bytes(b""), "the manifest does not name it"),
    ],
)
def test_one_fault_is_one_finding(zoo: Path, damage: Callable[[Path], object], words: str) -> None:
    damage(zoo)
    (wrong,) = marks(zoo)["WRONG"]
    assert words in wrong.message


def test_what_is_asked_for_and_not_there_is_absent(zoo: Path, tmp_path: Path) -> None:
    (absent,) = marks(zoo, BASE, OTHER, LONGER)["absent"]
    assert absent.what == f"{LONGER.label}, 8 steps"
    assert [f.mark for f in verify(tmp_path / "nowhere", STEPS)] == ["absent", "absent"]


def test_what_no_suite_asks_for_is_old(zoo: Path) -> None:
    found = marks(zoo, BASE)
    assert len(found["ok"]) == 1 and "no suite asks for it" in found["old"][0].message


def test_other_code_makes_models_old(zoo: Path, empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capbench.pipeline.steps.training_code", lambda modules: "another version")
    now = [replace(step, start=replace(step.start)) for step in STEPS]  # a step keeps its key once it is asked for
    assert {step.key for step in now}.isdisjoint(step.key for step in STEPS)
    found = verify(zoo, now)
    assert [f.mark for f in found] == ["old", "old"]  # and not absent, too
    assert "2 of 2 models are of another version of the code: they are trained anew; run capbench zoo build" in summary(
        zoo, found
    )
    assert fill(empty, now).taken == frozenset()


# ---- through pytest and the command

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


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    write_suite(pytester, TESTS)
    monkeypatch.setattr(bundle, "FOLDER", pytester.path / "zoo")
    return pytester


def test_a_run_takes_what_was_built_unless_told_to_train(suite: pytest.Pytester) -> None:
    built = run(suite, "--capbench-zoo=build", "--capbench-zoo-dir=zoo")
    assert built.ret == 0 and lines_with(built, "wrote 2 base models to zoo: 0.0 MB")
    found = read(suite.path / "zoo")
    assert found is not None and found.command == "capbench zoo build --scale=small --seeds=2"
    assert trained(suite) == 4  # two initialisations, two base models

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


def test_a_plan_does_not_count_what_the_package_has(suite: pytest.Pytester) -> None:
    run(suite, "--capbench-zoo=build", "--capbench-zoo-dir=zoo")
    plan = ("--capbench-cache=other", "--capbench-only=plan")
    assert lines_with(run(suite, *plan), "6 models, 0 in the cache, 2 in the package, 4 to make (4 training steps)")
    assert lines_with(run(suite, *plan, "--capbench-retrain"), "6 models, 0 in the cache, 6 to make (8 training steps)")
    (suite.path / "zoo/manifest.json").write_text("{")
    assert lines_with(run(suite, *plan), "6 models, 0 in the cache, 6 to make (8 training steps)")


def test_a_cache_that_cannot_take_a_model_is_one_line(suite: pytest.Pytester) -> None:
    run(suite, "--capbench-zoo=build", "--capbench-zoo-dir=zoo")
    found = read(suite.path / "zoo")
    assert found is not None
    for key in found.by_key:
        (Store(suite.path / "other").root / "artefacts" / key[:2]).write_text("a file where a folder should be")
    result = run(suite, "--capbench-cache=other")
    assert result.ret == 1 and lines_with(result, "capbench: nothing was tested: cannot save artefact")
    assert not lines_with(result, "INTERNALERROR")


def test_verify_s_exit_code_says_whether_all_is_well(suite: pytest.Pytester) -> None:
    run(suite, "--capbench-zoo=build", "--capbench-zoo-dir=zoo", "-k", "of.base")
    good = run(suite, "--capbench-zoo=verify", "--capbench-zoo-dir=zoo")
    assert good.ret == 0 and lines_with(good, "zoo: 2 base models as they should be, 0 old, 0 absent, 0 wrong")
    good.assert_outcomes()
    more = run(suite, "--capbench-zoo=verify", "--capbench-zoo-dir=zoo", "--capbench-seeds=3")
    assert more.ret == 1 and lines_with(more, "absent", "pretrain") and lines_with(more, "run capbench zoo build")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--capbench-zoo=eat"], ["=eat", "build, verify"]),
        (["--capbench-zoo=build", "--capbench-report=reports"], ["leave --capbench-report away"]),
        (["--capbench-zoo=build", "--capbench-retrain"], ["leave --capbench-retrain away"]),
        (["--capbench-zoo=build", "-n", "2"], ["leave -n away"]),
        (["--capbench-zoo=build", "--capbench-zoo-dir=test_tiny.py"], ["=test_tiny.py", "is a file"]),
        (["--capbench-zoo=build", "--capbench-zoo-dir=test_tiny.py/in"], ["cannot be written"]),
        (["--capbench-zoo=verify", "--capbench-zoo-dir=nowhere"], ["=nowhere", "there is no such folder"]),
        (["--capbench-zoo-dir=zoo"], ["give that, too"]),
    ],
)
def test_a_mistake_is_one_line(suite: pytest.Pytester, options: list[str], parts: list[str]) -> None:
    result = run(suite, *options)
    errors = [line for line in result.errlines if line.strip()]
    assert result.ret == pytest.ExitCode.USAGE_ERROR and len(errors) == 1, errors
    assert [part for part in parts if part not in errors[0]] == []


def test_a_model_that_cannot_be_made_ends_the_build_with_1(suite: pytest.Pytester) -> None:
    file = suite.path / "test_tiny.py"
    file.write_text(file.read_text().replace("n_heads=1", "n_heads=3"))
    result = run(suite, "--capbench-zoo=build", "--capbench-zoo-dir=zoo")
    assert result.ret == 1 and lines_with(result, "nothing was bundled: ", "must be a multiple of n_heads 3")
    assert not (suite.path / "zoo").exists() and not lines_with(result, "INTERNALERROR")


def test_the_commands_hand_their_options_to_pytest(
    zoo: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    class Ended:
        returncode = 1

    monkeypatch.setattr("subprocess.run", lambda command, check: seen.append(command[2:]) or Ended)
    options = ["--scale=smoke", "--seeds=1", "--cache=c", "--jobs=2", f"--to={zoo}"]
    assert capbench(capsys, "zoo", "build", "one.py", *options).code == 1
    assert capbench(capsys, "zoo", "verify", f"--from={zoo}").code == 1
    always = ["--capbench-extended", "-q", f"--capbench-zoo-dir={zoo}"]
    making = ["--capbench-scale=smoke", "--capbench-seeds=1", "--capbench-cache=c", "--capbench-jobs=2"]
    assert seen == [
        ["pytest", "one.py", "--capbench-zoo=build", *always, *making],
        ["pytest", "suites/", "--capbench-zoo=verify", *always, "--capbench-scale=tiny", "--capbench-seeds=1"],
    ]
    (zoo / "manifest.json").write_text("{")
    ended = capbench(capsys, "zoo", "verify", f"--from={zoo}")
    assert ended.code == 2 and "it is no JSON" in ended.err and len(seen) == 2
    assert capbench(capsys, "zoo").code == 2
