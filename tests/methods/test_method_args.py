"""Arguments for methods: key=value as data, given to the function by name, and refused before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from cli_runs import in_folder
from cli_runs import run as command
from hypothesis import given
from hypothesis import strategies as st
from tiny_suite import lines_with, record, results, run, trained, write_suite

from capbench.errors import MethodError, UsageError
from capbench.methods.specs import arguments
from capbench.methods.specs.registry import find, load

# ---- text to values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("+3", 3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 1e-3),
        ("-1E3", -1000.0),
        ("true", True),
        ("False", False),
        ("", ""),
        ("tRue", "tRue"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("٣", "٣"),  # int() would take it
        ("a=b", "a=b"),
        (" 3", " 3"),
    ],
)
def test_values_are_numbers_truth_or_text(text: str, value: object) -> None:
    ((key, found),) = arguments.parse("--arg", [f"rank={text}"])
    assert (key, found, type(found)) == ("rank", value, type(value))


@pytest.mark.parametrize(
    "text", ["rank", "=3", "", "=", "2rank=3", "a-b=3", "a b=3", "lambda=3", "a=1e999", "a=\n", "a=\x1b[0m"]
)
def test_what_is_no_argument_is_a_usage_error_of_one_line(text: str) -> None:
    with pytest.raises(UsageError) as error:
        arguments.parse("--arg", [text])
    message = str(error.value)
    assert (
        message.startswith("--arg=") and repr(text)[1:-1] in message and "\n" not in message and "\x1b" not in message
    )


def test_a_key_given_twice_is_a_usage_error_also_with_one_value() -> None:
    with pytest.raises(UsageError, match="'rank' is given twice"):
        arguments.parse("--arg", ["rank=3", "alpha=1", "rank=3"])


def test_the_order_on_the_command_line_does_not_matter() -> None:
    assert arguments.parse("--arg", ["b=1", "a=2"]) == (("a", 2), ("b", 1)) == arguments.parse("--arg", ["a=2", "b=1"])
    assert arguments.parse("--arg", None) == arguments.parse("--arg", []) == ()


@given(st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_what_python_prints_is_read_back(value: float | bool) -> None:
    ((_, found),) = arguments.parse("--arg", [f"x={value}"])
    assert found == value and type(found) is type(value)


# ---- what a method takes


@pytest.mark.parametrize(
    ("signature", "names", "needed", "anything"),
    [
        ("model, task, config", "", "", False),
        ("model, task, config, rank=4, *, alpha: float = 1.0, beta", "rank alpha beta", "beta", False),
        ("model, task, config, rank", "rank", "rank", False),
        ("model, task, /, config, *, rank=2", "rank", "", False),
        ("model, task, config, extra=1, /, rank=2", "rank", "", False),
        ("model, task, config, **more", "", "", True),
        ("*given, rank=3", "rank", "", False),
        ("model", "", "", False),
        ("", "", "", False),
    ],
)
def test_source_and_code_tell_the_same(tmp_path: Path, signature: str, names: str, needed: str, anything: bool) -> None:
    source = f"def tune({signature}):\n    return 1\n"
    tmp_path.joinpath("mine.py").write_text(source)
    space: dict[str, Any] = {}
    exec(source, space)
    wanted = arguments.Takes(names=tuple(names.split()), needed=tuple(needed.split()), any=anything)
    assert arguments.taken_in(tmp_path / "mine.py", "tune") == arguments.taken_by(space["tune"]) == wanted


@pytest.mark.parametrize(
    "source",
    [
        "import functools\n@functools.cache\ndef tune(model, task, config): pass\n",
        "class Tune:\n    def __call__(self, model, task, config): pass\ntune = Tune()\n",
        "from elsewhere import tune\n",
        "from elsewhere import other as tune\n",
        "def tune(model, task, config): pass\ntune = print\n",
        "def tune(model, task, config): pass\nif True:\n    def tune(model, task, config, rank): pass\n",
        "def tune(model, task, config): pass\nfor tune in (): pass\n",
        "class tune:\n    def __init__(self, model, task, config): pass\n",
        "def other(): pass\n",
        "def tune(:\n",
    ],
)
def test_a_source_that_does_not_tell_says_nothing(tmp_path: Path, source: str) -> None:
    tmp_path.joinpath("mine.py").write_text(source)
    assert arguments.taken_in(tmp_path / "mine.py", "tune") is None


def test_the_last_definition_counts(tmp_path: Path) -> None:
    tmp_path.joinpath("mine.py").write_text("tune = None\ndef tune(m, t, c): pass\ndef tune(m, t, c, rank=1): pass\n")
    taken = arguments.taken_in(tmp_path / "mine.py", "tune")
    assert taken is not None and taken.names == ("rank",)


def test_what_cannot_be_inspected_may_take_anything() -> None:
    class Closed:
        __signature__ = "none"

        def __call__(self, *given: object) -> None: ...

    assert arguments.taken_by(Closed()) is None


# ---- methods with arguments

MINE = """
def tune(model, task, config, rank=4, *, alpha=1.0):
    return rank, alpha
def needy(model, task, config, *, strength):
    return strength
def open_(model, task, config, **more):
    return more
class Tune:
    def __call__(self, model, task, config, rank=1):
        return rank
instance = Tune()
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    tmp_path.joinpath("mine.py").write_text(MINE)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("attribute", "given_", "gives"),
    [
        ("tune", {}, (4, 1.0)),
        ("tune", {"rank": 8}, (8, 1.0)),
        ("tune", {"rank": 8, "alpha": 0.5}, (8, 0.5)),
        ("needy", {"strength": "x"}, "x"),
        ("open_", {"anything": True}, {"anything": True}),
        ("instance", {"rank": 3}, 3),
    ],
)
def test_a_method_gets_its_arguments(attribute: str, given_: dict[str, Any], gives: object) -> None:
    ref = find(f"mine.py:{attribute}", arguments=tuple(given_.items()))
    assert load(ref)(None, None, None) == gives
    told = ",".join(f"{k}={v}" for k, v in sorted(given_.items()))
    assert ref.name == f"mine.py:{attribute}" + (f"({told})" if told else "")


@pytest.mark.usefixtures("mine")
def test_other_arguments_are_another_method_and_their_order_does_not_matter() -> None:
    one = find("mine.py:tune", arguments=(("rank", 1), ("alpha", 2.0)))
    assert one == find("mine.py:tune", arguments=(("alpha", 2.0), ("rank", 1)))
    assert len({one, find("mine.py:tune"), find("mine.py:tune", arguments=(("rank", 1),))}) == 3


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("spec", "given_", "said"),
    [
        ("mine.py:tune", {"ranks": 8}, ["'ranks'", "rank, alpha"]),
        ("mine.py:tune", {"config": 8}, ["'config'", "rank, alpha"]),
        ("mine.py:needy", {}, ["needs strength=…"]),
        ("mine.py:needy", {"rank": 1}, ["'rank'", "strength"]),
        ("full", {"rank": 8}, ["'full'", "'rank'", "it takes none"]),
        ("identity", {"rank": 8}, ["'identity'", "it takes none"]),
    ],
)
def test_an_argument_that_the_method_does_not_take_is_told_before_its_code_runs(
    spec: str, given_: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(MethodError) as error:
        find(spec, arguments=tuple(given_.items()))
    message = str(error.value)
    assert [part for part in said if part not in message] == [] and "\n" not in message


@pytest.mark.usefixtures("mine")
def test_where_the_source_does_not_tell_loading_does() -> None:
    ref = find("mine.py:instance", arguments=(("ranks", 1),))
    with pytest.raises(MethodError, match=r"'mine\.py:instance' has no argument 'ranks'; it takes rank$"):
        load(ref)


# ---- on command lines

TESTS = """
@about_method("of.tuned")
def test_tuned(judge):
    judge.measure((weights, ["tuned"]))
    judge.decide(at_least(judge["tuned"], 0.5, "weights"))
"""
SUITE_METHODS = """
import copy
def scaled(model, task, config, *, by=1.0):
    tuned = copy.deepcopy(model)
    for parameter in tuned.parameters():
        parameter.data *= by
    return tuned
def plain(model, task, config):
    return copy.deepcopy(model)
"""


def test_pytest_gives_its_arguments_to_every_method_and_blocks_the_one_that_has_none(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)
    pytester.path.joinpath("mine.py").write_text(SUITE_METHODS)
    options = (
        "--capbench-seeds=1",
        "--capbench-method=mine.py:scaled",
        "--capbench-method-arg=by=2",
        "--capbench-report=reports",
    )
    result = run(pytester, *options, "--capbench-method=mine.py:plain")
    result.assert_outcomes(passed=1, errors=1)
    found = results(pytester)
    assert found.run.methods == ("mine.py:scaled(by=2)", "mine.py:plain")
    assert (
        record(found, "of.tuned", "mine.py:plain").verdict.reason
        == "method 'mine.py:plain' has no argument 'by'; it takes none"
    )
    (doubled,) = (m.value for m in record(found, "of.tuned", "mine.py:scaled(by=2)").measurements if m.name == "tuned")
    made = trained(pytester)
    run(pytester, "--capbench-seeds=1", "--capbench-method=mine.py:scaled", "--capbench-report=other").assert_outcomes(
        passed=1
    )
    measured = record(results(pytester, "other"), "of.tuned").measurements
    (single,) = (m.value for m in measured if m.name == "tuned")  # it also says that no weight changed
    assert trained(pytester) > made and doubled == pytest.approx(2 * single)


@pytest.mark.parametrize("given_", ["rank", "=3"])
def test_pytest_refuses_a_bad_argument_in_one_line(pytester: pytest.Pytester, given_: str) -> None:
    write_suite(pytester, TESTS)
    result = run(pytester, f"--capbench-method-arg={given_}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR and not (pytester.path / "cache").exists()
    (line,) = lines_with(result, "--capbench-method-arg=")
    assert "must be key=value" in line


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--method-arg", "rank"], "--method-arg='rank': must be key=value"),
        (["--method-arg", "rank=3"], "method 'full' has no argument 'rank'"),
        (["--method-arg", "a=1", "--method-arg", "a=2"], "'a' is given twice"),
    ],
)
def test_the_command_refuses_what_is_wrong_before_anything_is_made(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder(tmp_path, monkeypatch)
    ended = command(capsys, "fidelity", "--table", "tracr", "--scale", "tiny", "--cache", "cache", *argv)
    assert ended.code == 2 and said in ended.err and ended.err.count("\n") == 1 and not (tmp_path / "cache").exists()
