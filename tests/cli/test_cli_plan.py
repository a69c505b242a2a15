"""`capbench plan` and `capbench train`: what pytest then finds, their options, and what cannot be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_suite import MAKING, Ended, capbench, lines_with, run, trained, write_suite

from capbench.cli.main import main
from capbench.pipeline.executors import base
from capbench.pipeline.steps import Step

TESTS = """
@about_base("of.base")
def test_base(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))

@about_method("of.tuned")
def test_tuned(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))

@pytest.mark.extended
@about_method("of.more")
def test_more(judge):
    judge.measure((weights, ["base"]))
    judge.decide(at_least(judge["base"], 0.5, "weights"))

def test_without_models():
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    write_suite(pytester, TESTS)
    return pytester


def made(suite: pytest.Pytester, command: str, *options: str) -> Ended:
    return capbench(suite, command, *MAKING, *options)


def test_a_plan_makes_nothing_and_training_makes_what_pytest_then_finds(suite: pytest.Pytester) -> None:
    planned = made(suite, "plan", "test_tiny.py")
    assert (planned.ret, planned.err) == (0, "") and trained(suite) == 0
    assert lines_with(planned, "6 models, 0 in the cache, 6 to make (8 training steps)")
    trains = made(suite, "train", "test_tiny.py")
    assert trains.ret == 0 and trained(suite) == 6
    assert lines_with(trains, "6 of 6 models to make (8 training steps), 1 at a time")
    again = made(suite, "plan", "test_tiny.py")
    assert lines_with(again, "6 models, 6 in the cache, 0 to make (0 training steps)")
    tested = run(suite)
    tested.assert_outcomes(passed=3)
    assert not lines_with(tested, "models to make")


def test_the_selection_counts(suite: pytest.Pytester) -> None:
    result = made(suite, "train", "test_tiny.py", "--seeds=1", "-k", "of.base")
    assert result.ret == 0 and trained(suite) == 2
    nothing = made(suite, "plan", "test_tiny.py", "-k", "without_models")
    assert nothing.ret == 0 and lines_with(nothing, "none of the collected tests needs a model")
    none = made(suite, "plan", "test_tiny.py", "-k", "no_such_test")
    assert (none.ret, none.out) == (5, "") and lines_with(none, "capbench: error: no test was collected")
    more = made(suite, "plan", "test_tiny.py", "--extended", "-k", "of.more", "--seeds=1")
    assert lines_with(more, "3 models, 2 in the cache, 1 to make")


@pytest.mark.parametrize("word", ["--capbench-scale=small", "-k", "-p"])
def test_options_after_two_dashes_do_not_reach_pytest(suite: pytest.Pytester, word: str) -> None:
    result = made(suite, "plan", "test_tiny.py", "--", word)
    assert (result.ret, result.out) == (2, "")
    assert lines_with(result, f"capbench: error: {word}: not a test file or folder; give options before `--`")


def test_a_project_without_the_plugin_is_told_so(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:capbench")
    result = made(suite, "plan", "test_tiny.py")
    assert (result.ret, result.out) == (2, "")
    assert lines_with(result, "capbench: error: pytest was told not to load capbench ('-p no:capbench' in addopts?)")


def test_the_next_run_says_how_long_it_will_take(suite: pytest.Pytester) -> None:
    made(suite, "train", "test_tiny.py", "--seeds=1")
    result = made(suite, "train", "test_tiny.py", "--seeds=2")
    (line,) = lines_with(result, "3 of 6 models to make (4 training steps), 1 at a time: about ")
    assert re.search(r"about \d s$", line), line  # without an earlier run nothing is said


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("plans", ["'plans'", "'plan', 'train'"]),
        ("train --report=reports", ["--report=reports", "of pytest", "not of `capbench train`", "omit it"]),
        ("plan --capbench-report=reports", ["--capbench-report=reports", "not of `capbench plan`"]),
        ("plan --baseline=auto", ["--baseline=auto", "not of `capbench plan`"]),
        ("plan --executor=ray", ["--executor=ray", "of pytest and `capbench train`", "not of `capbench plan`"]),
        ("plan --capbench-scale=smoke", ["--capbench-scale=smoke", "without the prefix", "--scale"]),
        ("train -n 2", ["-n 2", "train --help"]),
        ("plan --scale=huge", ["--scale=huge", "smoke, small, paper"]),
        ("plan --seeds=0", ["--seeds=0", "at least 1"]),
        ("plan --device=tpu", ["--device=tpu", "cpu, cuda"]),
        ("plan --precision=half", ["--precision=half", "float32, bfloat16"]),
        ("train --variants=few", ["--variants=few", "whole number"]),
        ("train --variants=2 --variants-minutes=-1", ["--variants-minutes=-1", "above 0"]),
        ("train --variants=2 --task=own.py:SPEC", ["--task=own.py:SPEC", "--variants=2", "omit one"]),
        ("train --variants=2 --hypothesis-seed=word", ["--hypothesis-seed=word", "whole number"]),
        ("plan --task=gone.py:SPEC", ["--task=gone.py:SPEC", "there is no file"]),
        ("plan --method=loraa", ["--method=loraa", "full, bitfit, dora"]),
        ("plan --method-arg=rank", ["--method-arg='rank'", "key=value"]),
        ("train --stack=4 --jobs=2", ["--jobs=2", "--stack=4", "omit one"]),
        ("train --address=h:1", ["--address=h:1", "needs --executor=ray"]),
        ("plan --cache=test_tiny.py", ["'test_tiny.py'", "it is a file"]),
        ("plan test_tiny.py -k (", ["Wrong expression passed to '-k'"]),
    ],
)
def test_what_cannot_be_is_one_line(suite: pytest.Pytester, words: str, parts: list[str]) -> None:
    command, *options = words.split()
    result = capbench(suite, command, "test_tiny.py", *options)
    assert (result.ret, result.out) == (2, "") and len(result.errlines) == 1, result.err
    assert [part for part in parts if part not in result.err] == [], result.err
    assert result.err.startswith("capbench: error: ")


def test_what_cannot_be_made_is_said_and_the_rest_is_made(suite: pytest.Pytester) -> None:
    suite.path.joinpath("mine.py").write_text(
        "def breaks(model, task, config):\n    raise ValueError('no such thing')\n"
    )
    result = made(suite, "train", "test_tiny.py", "--method=mine.py:breaks")
    assert result.ret == 1 and trained(suite) == 4
    assert lines_with(result, "method 'mine.py:breaks' failed: ValueError: no such thing")
    for what in ("plan", "train"):
        result = made(suite, what, "test_tiny.py", "--method=gone.py:tune")
        assert result.ret == 1 and lines_with(result, "capbench: ", "gone.py")


# ---- what a command's options do


OWN = """
from capbench.studies.pcfg.own import TaskSpec
from capbench.tasks.pcfg.setting import PcfgSetting
SPEC = TaskSpec(setting=PcfgSetting(text_len=8, numbers={"C": 5}))
def tune(model, task, config, *, a=0, b=""):
    return model
"""


@pytest.mark.slow
def test_options_shape_the_models_as_those_of_pytest_do(suite: pytest.Pytester) -> None:
    """Each changes the models that are needed, and pytest with the same options finds them."""
    suite.path.joinpath("own.py").write_text(OWN)
    ways = [
        ["--scale=smoke", "--seeds=1", "--precision=bfloat16", "--extended"],
        ["--seeds=1", "--method=own.py:tune", "--method=lp-ft"],
        ["--seeds=1", "--method=own.py:tune", "--method-arg=a=1", "--method-arg=b=x"],
    ]
    for options in ways:
        before = made(suite, "plan", "test_tiny.py", *options)
        assert before.ret == 0 and not lines_with(before, " 0 to make"), options
        assert made(suite, "train", "test_tiny.py", *options).ret == 0
        planned = made(suite, "plan", "test_tiny.py", *options)
        assert planned.ret == 0 and lines_with(planned, " 0 to make"), options
        tested = run(suite, *(option.replace("--", "--capbench-", 1) for option in options))
        assert tested.ret == 0 and not lines_with(tested, "to make"), options


def test_a_project_s_own_options_hold_here_too(suite: pytest.Pytester) -> None:
    """Those of pytest.ini: pytest would use them, so the command does, unless it is told otherwise."""
    ini = suite.path / "pytest.ini"
    ini.write_text(ini.read_text().replace("--assert=plain", "--capbench-seeds=1 --capbench-report=reports"))
    options = ("test_tiny.py", "--cache=cache", "--jobs=1")
    assert lines_with(capbench(suite, "plan", *options), "3 models, 0 in the cache, 3 to make")
    assert lines_with(capbench(suite, "plan", *options, "--seeds=2"), "6 models, 0 in the cache, 6 to make")
    assert not (suite.path / "reports").exists()
    ini.write_text(ini.read_text().replace("seeds=1", "seeds=none"))
    wrong = capbench(suite, "plan", *options)
    assert wrong.ret == 2 and "--capbench-seeds=none: must be a whole number" in wrong.err


def test_conftest_hooks_and_the_pythonpath_count(suite: pytest.Pytester) -> None:
    ini = suite.path / "pytest.ini"
    ini.write_text(ini.read_text().replace("[pytest]", "[pytest]\npythonpath = lib"))
    lib = suite.mkdir("lib")
    lib.joinpath("far.py").write_text("def tune(model, task, config):\n    return model\n")
    suite.makeconftest(
        "print('not shown')\ndef pytest_capbench_register_methods(config):\n    return {'mine': 'far:tune'}\n"
    )
    result = made(suite, "train", "test_tiny.py", "--method=mine")
    assert result.ret == 0 and trained(suite) == 6 and "not shown" not in result.out + result.err


# ---- the commands


def test_the_command_shows_the_table_and_little_else(suite: pytest.Pytester, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "test_tiny.py", "--seeds=1", "--jobs=1", "--cache=cache"]) == 0
    out, err = capfd.readouterr()
    lines = [line for line in out.splitlines() if line.strip()]
    assert err == "" and "kind" in lines[0] and "3 to make" in lines[-3] and len(lines) == 2 + 3 + 3, out
    assert not (suite.path / "cache" / "artefacts").exists() or trained(suite) == 0


def test_without_a_path_it_takes_the_suites_of_this_folder(suite: pytest.Pytester) -> None:
    suite.mkdir("suites").joinpath("test_some.py").write_text((suite.path / "test_tiny.py").read_text())
    result = made(suite, "plan", "--seeds=1")
    assert result.ret == 0 and lines_with(result, "3 models, 0 in the cache, 3 to make")


@pytest.mark.parametrize("command", ["plan", "train"])
def test_help_lists_all_that_it_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    names = "scale seeds method method-arg task extended variants variants-minutes hypothesis-seed cache retrain device precision"
    assert [name for name in f"{names} jobs stack".split() if f"\n  --{name}" not in shown] == []
    assert ("--executor" in shown) == (command == "train")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["plan", "train"])
def test_a_suite_that_is_not_there_is_told(command: str, suite: pytest.Pytester) -> None:
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("capbench")), command, "nowhere.py", "--cache=cache"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=suite.path,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "capbench: error: file or directory not found: nowhere.py\n"


def test_a_suite_that_is_broken_is_shown_and_nothing_is_made(suite: pytest.Pytester) -> None:
    suite.path.joinpath("test_broken.py").write_text("import no_such_module\n")
    result = made(suite, "train", "test_tiny.py", "test_broken.py")
    assert result.ret == 1 and trained(suite) == 0
    assert lines_with(result, "capbench: error: the tests could not be collected")
    assert lines_with(result, "No module named 'no_such_module'") and lines_with(result, "test_broken.py")


def test_ctrl_c_while_training_ends_with_130_and_the_same_command_goes_on(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, built = base.build_step, list[str]()

    def build(step: Step, *rest: Any) -> None:
        if len(built) == 3:
            raise KeyboardInterrupt
        real(step, *rest)
        built.append(step.key)

    monkeypatch.setattr(base, "build_step", build)
    result = made(suite, "train", "test_tiny.py")
    assert result.ret == 130 and lines_with(result, "capbench: interrupted; what was made is in the cache")
    assert trained(suite) == 3
    monkeypatch.setattr(base, "build_step", real)
    assert lines_with(made(suite, "train", "test_tiny.py"), "3 of 6 models to make")


def test_ctrl_c_while_collecting_ends_with_130(suite: pytest.Pytester) -> None:
    suite.path.joinpath("test_slow.py").write_text("raise KeyboardInterrupt\n")
    result = made(suite, "plan", "test_slow.py")
    assert result.ret == 130 and lines_with(result, "capbench: interrupted")
