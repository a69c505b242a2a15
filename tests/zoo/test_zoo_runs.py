"""The bundled base models through pytest and the `capbench zoo` command: built, taken by runs, checked; mistakes in one line."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_runs import run as capbench
from tiny_suite import lines_with, run, trained, write_suite
from tiny_zoo import same

import capbench.zoo.bundle as bundle
from capbench.store.store import Store
from capbench.zoo.command import Selection, recorded
from capbench.zoo.manifest import read

Captured = pytest.CaptureFixture[str]
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
    assert recorded(some, scale="smoke", seeds=1, extended=True, precision="bfloat16", device="cuda") == (
        "capbench zoo build --scale=smoke --seeds=1 --extended --precision=bfloat16 --device=cuda "
        "-k 'of.base or it' -m claim suites/"
    )


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


def test_the_recorded_command_makes_the_same_models_again(
    suite: pytest.Pytester, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a part of the tests, and in another precision."""
    other = 'lambda study, seed, case: {"base": tiny(study).base(seed, prior="high")}'
    more = f'\n@about_base("of.other", needs={other})\ndef test_other(judge): ...\n'
    write_suite(suite, TESTS + more)
    options = ("--capbench-precision=bfloat16", "-k", "of.base or of.tuned", "test_tiny.py")
    run(suite, "--capbench-zoo=build", "--capbench-zoo-dir=zoo", *options)
    found = read(suite.path / "zoo")
    assert found is not None and len(found.models) == 2
    seen: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(
            "subprocess.run", lambda command, check: seen.extend(command[3:]) or SimpleNamespace(returncode=0)
        )
        assert capbench(capsys, *shlex.split(found.command)[1:], "--to=again").code == 0
    assert run(suite, *seen).ret == 0
    again = read(suite.path / "again")
    assert again is not None and (again.by_key.keys(), again.command) == (found.by_key.keys(), found.command)


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
    assert good.ret == 0 and lines_with(good, "zoo: 2 base models ok, 0 old, 0 absent, 0 wrong")
    good.assert_outcomes()
    more = run(suite, "--capbench-zoo=verify", "--capbench-zoo-dir=zoo", "--capbench-seeds=3")
    assert more.ret == 1 and lines_with(more, "absent", "pretrain") and lines_with(more, "run capbench zoo build")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--capbench-zoo=eat"], ["=eat", "build, verify"]),
        (["--capbench-zoo=build", "--capbench-report=reports"], ["leave --capbench-report away"]),
        (["--capbench-zoo=build", "--capbench-retrain"], ["leave --capbench-retrain away"]),
        (["--capbench-zoo=build", "--capbench-only=train"], ["leave --capbench-only away"]),
        (["--capbench-zoo=build", "-n", "2"], ["leave -n away"]),
        (["--capbench-zoo=build", "--capbench-zoo-dir=test_tiny.py"], ["=test_tiny.py", "is a file"]),
        (["--capbench-zoo=build", "--capbench-zoo-dir=test_tiny.py/in"], ["is not writable"]),
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
    assert capbench(capsys, "zoo", "build", "--extended").code == 1
    selected = ["-k", "a or b", "-m", "c"]
    for part in ("build", "verify"):
        assert capbench(capsys, "zoo", part, *selected, "--precision=bfloat16", "--device=cuda").code == 1
    elsewhere = ["--capbench-device=cuda", "--capbench-precision=bfloat16", *selected]
    assert seen.pop()[-6:] == seen.pop()[-6:] == elsewhere
    always = ["-q", f"--capbench-zoo-dir={zoo}"]
    making = ["--capbench-scale=smoke", "--capbench-seeds=1", "--capbench-cache=c", "--capbench-jobs=2"]
    assert seen == [
        ["pytest", "one.py", "--capbench-zoo=build", *always, *making],
        ["pytest", "suites/", "--capbench-zoo=verify", *always, "--capbench-scale=tiny", "--capbench-seeds=1"],
        ["pytest", "suites/", "--capbench-zoo=build", "-q", "--capbench-extended"],
    ]
    (zoo / "manifest.json").write_text("{")
    ended = capbench(capsys, "zoo", "verify", f"--from={zoo}")
    assert ended.code == 2 and "it is not JSON" in ended.err and len(seen) == 3
    assert capbench(capsys, "zoo").code == 2
