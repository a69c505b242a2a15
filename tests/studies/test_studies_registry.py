"""Studies by name: where names come from, and what is said of those that cannot be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tiny import study as tiny
from tiny_suite import lines_with, record, results, run, write_suite

from capbench.errors import UsageError
from capbench.studies.pcfg.study import PcfgCounter
from capbench.studies.registry import BUILT_IN, make, table
from capbench.studies.scales import SCALES
from capbench.verdicts.tools import Toolbox


def of_test(**_: Any) -> PcfgCounter:
    return tiny()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_built_in_studies_are_made_at_every_scale(name: str, scale: str) -> None:
    made = make(name, scale=scale, precision="bfloat16")
    assert made.preset.name == scale and made.task_name and made.model_name
    assert isinstance(made.toolbox, Toolbox)


def test_no_two_studies_share_the_name_of_a_task() -> None:
    names = [make(name, scale="small").task_name for name in BUILT_IN]
    assert len(set(names)) == len(names)


def test_a_registered_function_makes_a_study_with_what_the_run_asks_for() -> None:
    asked: list[dict[str, Any]] = []
    studies = table([("a plugin", {"mine": lambda **given: asked.append(given) or tiny()})])
    assert set(studies) == {*BUILT_IN, "mine"}
    assert make("mine", studies, scale="smoke", device="cuda") == tiny()
    assert asked == [{"scale": "smoke", "method": None, "device": "cuda", "precision": "float32"}]


def test_a_path_is_as_good_as_a_function() -> None:
    studies = table([("a plugin", {"mine": f"{__name__}:of_test"}), ("another", None), ("a third", {})][:1])
    assert make("mine", studies, scale="smoke") == tiny()


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([("'one'", ["mine"])], r"of 'one' returned \['mine'\]; it must return a dict"),
        ([("'one'", {"": of_test})], r"of 'one': '' is no name for a study"),
        ([("'one'", {"mine": 3})], r"of 'one': study 'mine' is 3; it must be a function, or its module:attribute"),
        ([("'one'", {"mine": "a.b"})], r"study 'mine' is 'a.b'; it must be a function"),
        (
            [("'one'", {"mine": of_test}), ("'two'", {"mine": of_test})],
            r"'mine' is given by .* of 'one' and .* of 'two'",
        ),
        ([("'one'", {"tracr-max": of_test})], r"'tracr-max' is given by capbench itself and .* of 'one'; rename one"),
    ],
)
def test_what_cannot_be_registered_is_one_line(answers: list[tuple[str, object]], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        table(answers)
    assert "\n" not in str(error.value)


def test_a_name_that_two_distributions_give_is_an_error_that_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def install(distribution: str, name: str) -> None:
        info = tmp_path / distribution / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        info.joinpath("entry_points.txt").write_text(f"[capbench.studies]\n{name} = {__name__}:of_test\n")
        monkeypatch.syspath_prepend(tmp_path / distribution)

    install("shiny", "mine")
    assert make("mine", table(), scale="smoke") == tiny()
    install("other", "mine")
    with pytest.raises(UsageError, match=r"the distribution 'other' and the distribution 'shiny'; rename one"):
        table()


@dataclass(frozen=True)
class Bare:
    """A study without tools."""

    preset: Any = field(default_factory=lambda: tiny().preset)
    device: str = "cpu"
    model_name: str = "bare"
    task_name: str = "bare"

    def protocol(self, case: Any) -> Any:
        return case


@dataclass(frozen=True)
class Unnamed(Bare):
    preset: Any = 3
    toolbox: Any = None


@dataclass(frozen=True)
class Toolless(Bare):
    toolbox: Any = ()


def fails(**_: Any) -> PcfgCounter:
    raise ValueError("no\nsuch thing")


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (lambda **_: Bare(), r"^study 'mine': Bare has no 'toolbox'; a study has preset, .*, protocol$"),
        (lambda **_: None, r"^study 'mine': NoneType has no 'preset'"),
        (lambda **_: Unnamed(), r"^study 'mine': its preset has no 'name', which is that of the scale$"),
        (lambda **_: Toolless(), r"^study 'mine': its toolbox is a tuple, not a capbench.Toolbox$"),
        (fails, r"^study 'mine' could not be made: .*no such thing"),
        (lambda scale: tiny(), r"^study 'mine' could not be made: .*unexpected keyword argument 'method'"),
        ("capbench_gone:study", r"^study 'mine' could not be made: .*No module named 'capbench_gone'"),
        (f"{__name__}:gone", r"^study 'mine' could not be made: .*'gone'"),
    ],
)
def test_a_study_that_cannot_be_used_is_one_line(factory: str | Callable[..., Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        make("mine", table([("a plugin", {"mine": factory})]), scale="smoke")
    assert "\n" not in str(error.value)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown study 'mine'; known: pcfg-counter, .*, calibration$"):
        make("mine", scale="smoke")


# ---- in a run

CONFTEST = """
import dataclasses
from capbench.errors import UsageError
from capbench.studies.pcfg import factory
from capbench.studies.scales import at_scale

def smoke_only(*, scale, **given):
    at_scale({"smoke": None}, scale)

def pytest_capbench_register_studies(config):
    return {"mine": "capbench.studies.pcfg.factory:indexer", "smoke-only": smoke_only}
"""
SUITE = """
@about_base("one", study="mine")
def test_one(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "one"))

@about_base("two", study="smoke-only")
def test_two(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "one"))
"""


def test_a_study_that_is_not_there_at_a_scale_costs_its_own_claims_only(pytester: pytest.Pytester) -> None:
    write_suite(pytester, SUITE)
    pytester.makeconftest(CONFTEST)
    result = run(pytester, "--capbench-report=reports")
    result.assert_outcomes(passed=1, errors=1)
    why = "study 'smoke-only': it has no scale 'small'; it has smoke"
    assert lines_with(result, "two: invalid", why)
    found = results(pytester)
    assert (record(found, "one").study, record(found, "one").task) == ("mine", "pcfg indexer a to b")
    two = record(found, "two")
    assert (two.study, two.task, two.verdict.status, two.verdict.reason) == ("smoke-only", "smoke-only", "invalid", why)


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("return {'tracr-max': print}", "study name 'tracr-max' is given by capbench itself and"),
        ("raise ValueError('oh')", "conftest.py' failed: ValueError: oh"),
    ],
)
def test_a_conftest_that_cannot_be_used_ends_the_run_with_one_line(
    pytester: pytest.Pytester, hook: str, said: str
) -> None:
    write_suite(pytester, SUITE)
    pytester.makeconftest(f"def pytest_capbench_register_studies(config):\n    {hook}\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert lines_with(result, "pytest_capbench_register_studies", "conftest.py'", said.split(" conftest")[0])
    assert lines_with(result, said) and not lines_with(result, "Traceback")
