"""The suites as they are: each claim's models can be named, what a test asks for is what its readings give, -k selects."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from implants import TINY as TINY_IMPLANT
from implants import written
from tiny import TINY as TINY_PCFG
from tiny import built
from tiny_stories import TINY as TINY_STORIES
from tiny_tracr import TINY as TINY_TRACR

from capbench.compare.rows import Outcome
from capbench.compare.runs import compare
from capbench.methods.specs.registry import find
from capbench.pipeline.steps import Step
from capbench.report.write import load
from capbench.results import Status
from capbench.store.store import Store
from capbench.studies.architectures import with_architecture
from capbench.studies.calibration import preset as calibration
from capbench.studies.calibration.preset import CalibrationPreset
from capbench.studies.judge import Case, Claim, InvalidClaimError, Judge
from capbench.studies.lab import Lab
from capbench.studies.language import implant_preset, natural_preset
from capbench.studies.language.natural_study import PairStudy
from capbench.studies.language.shared import LanguageStudy
from capbench.studies.pcfg import preset as pcfg
from capbench.studies.registry import BUILT_IN, make
from capbench.studies.scales import SCALES
from capbench.studies.stories import preset as stories
from capbench.studies.tracr import preset as tracr
from capbench.verdicts.effects import Effect

ROOT = Path(__file__).parents[2]
RATES = {"large": 1e-1, "medium": 1e-2, "small": 1e-3, "very-small": 1e-4}
PCFG = dataclasses.replace(TINY_PCFG, rates=RATES)
POOL = CalibrationPreset(name="tiny", pcfg=PCFG, tracr=TINY_TRACR)


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    """A scale `tiny` of all studies."""
    with pytest.MonkeyPatch.context() as patch:
        of_studies = ((pcfg, PCFG), (tracr, TINY_TRACR), (calibration, POOL), (stories, TINY_STORIES))
        for module, preset in (*of_studies, (implant_preset, TINY_IMPLANT), (natural_preset, natural_preset.smoke())):
            patch.setitem(module.PRESETS, "tiny", lambda preset=preset: preset)
        yield


_FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def language_model() -> tuple[str, str]:
    """Where a tiny one lies, and what it can be taught."""
    model, skill = written(Path(_FOLDER.name))
    return model.removeprefix("hf:"), skill


def on_a_model(study: Any) -> Any:
    """A study, if it is of a language model that is given, of a tiny one. What that can be taught, it is asked, too."""
    if not isinstance(study, LanguageStudy):
        return study
    place, skill = language_model()
    found = study.on(place, (skill, skill.removeprefix("implant:")))
    return found.beside(place) if isinstance(found, PairStudy) else found


class Test(NamedTuple):
    """A function of a suite with one of its cases."""

    __test__ = False
    file: str
    function: Callable[..., None]
    case: Case
    claim: Claim
    variants: bool  # it draws its cases itself: tests/variants/
    extended: bool

    def __str__(self) -> str:
        return f"{self.function.__name__}[{self.case}]"

    @property
    def study(self) -> Any:
        found = on_a_model(make(self.claim.study, scale="tiny", method=find("full")))
        return with_architecture(found, self.case.architecture) if self.case.architecture else found

    @property
    def needs(self) -> Mapping[str, Step]:
        """All, as if a behaviour were lost."""
        return self.claim.models(self.study, 0, self.case)


def all_tests() -> Iterator[Test]:
    for file in sorted((ROOT / "suites").rglob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"suite_{file.stem}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        of_file = getattr(module, "pytestmark", None)
        for function in vars(module).values():
            marks = {mark.name: mark for mark in getattr(function, "pytestmark", [])}
            if "claim" in marks:
                marks |= {} if of_file is None else {of_file.name: of_file}
                claim = Claim(id=marks["claim"].args[0], **marks["claim"].kwargs)
                given = marks["parametrize"].args[1] if "parametrize" in marks else [Case()]
                name = file.relative_to(ROOT / "suites").with_suffix("").as_posix()
                for parameter in given:
                    case = parameter if isinstance(parameter, Case) else parameter.values[0]
                    extended = "extended" in {*marks, *(mark.name for mark in getattr(parameter, "marks", ()))}
                    yield Test(name, function, case, claim, "variants" in marks, extended)


TESTS = list(all_tests())
# The pool of the calibration has a hundred models, and is read in tests/studies/test_calibration_outcome.py.
ON_CASES = [test for test in TESTS if test.claim.study != "calibration" and not test.variants]
first_cases = {test.function.__name__: test for test in reversed(ON_CASES)}


def test_there_are_suites_for_all_studies() -> None:
    assert {test.claim.study for test in TESTS} == set(BUILT_IN)
    assert len({str(test) for test in TESTS}) == len(TESTS) > 30
    assert len({(test.claim.id, str(test.case)) for test in TESTS}) == len(TESTS)  # else the report shows one twice


def test_suites_are_in_the_folder_of_their_setup() -> None:
    for test in TESTS:
        by_claim = test.variants or test.claim.id == "verdict" or "architecture" in test.case.parameters
        kind = test.claim.id if by_claim else test.claim.study
        kind = re.split(r"\W", kind)[0]
        assert test.file.partition("/")[0] == kind, test
        named = re.findall(r"^(?:test_)?tracr[._]", f"{test.claim.id}\n{test.function.__name__}", flags=re.M)
        assert len(named) == 2 * (kind == "tracr"), test


@pytest.mark.slow
def test_the_verdict_on_every_model_of_the_core_is_a_claim_of_the_core() -> None:
    """All tools are asked about it there, so that none is undecided for want of one; and it is no other training."""
    judged: dict[bool, dict[tuple[str, str], str]] = {True: {}, False: {}}  # study and case -> the key of the model
    core = [test for test in ON_CASES if not test.extended and test.study.toolbox.judges(test.case.parameters)]
    for test in core:
        if tuned := test.needs.get("tuned"):  # a claim that compares two models judges neither
            judged[test.claim.id.rpartition(".")[2] == "verdict"][test.claim.study, str(test.case)] = tuned.key
    assert judged[False].items() <= judged[True].items()
    assert len(judged[False]) > 5 and len(set(judged[True].values())) == len(judged[True])


@pytest.mark.parametrize("run", ["small-core", "small-full"])
def test_a_kept_report_is_about_the_claims_and_cases_of_today(run: str) -> None:
    """Runs are compared claim by claim, case by case: files may have lain elsewhere."""
    before = load(ROOT / "reports" / "reference" / run)
    today = {(test.claim.id, str(test.case), test.function.__name__) for test in TESTS if not test.variants}
    asked = {(r.claim, r.case, re.split(r"::|\[", r.nodeid)[1]) for r in before.records}
    assert asked and asked <= today
    here = {(test.claim.id, str(test.case)): f"suites/{test.file}.py::{test}" for test in TESTS}
    moved = tuple(dataclasses.replace(r, nodeid=here[r.claim, r.case]) for r in before.records)
    found = compare(before, dataclasses.replace(before, records=moved[::-1]))
    assert len(found.claims) == len(before.records)
    assert {row.outcome for row in found.claims} <= {Outcome.UNCHANGED, Outcome.NOT_COMPARABLE}  # one has no effect


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
def test_the_models_of_every_test_can_be_named_at_every_scale(scale: str) -> None:
    """At the scale `small` those of all cases, elsewhere of the first."""
    one_pool = next(test for test in TESTS if test.claim.study == "calibration")  # they are all the same
    method, made = find("full"), dict[str, Any]()
    for test in [*(ON_CASES if scale == "small" else first_cases.values()), one_pool]:
        name = test.claim.study
        study = made[name] = made.get(name) or on_a_model(make(name, scale=scale, method=method))
        needed = test.claim.models(study, 0, test.case)
        assert all(isinstance(step, Step) and step.key for step in needed.values()), test
        assert needed or test.claim.id.startswith("data."), test  # a claim about the data asks no model


@pytest.fixture(scope="module")
def store(compiled: Store) -> Store:
    """All models of the first case of every test, trained next to nothing."""
    built(compiled, [step for test in first_cases.values() for step in test.needs.values()])
    return compiled


class Lenient(Judge):
    """Goes on where models trained for a moment cannot bear the claim out: all that is asked for must be there."""

    lost = True  # so that what is asked where a behaviour is lost is asked, too

    def require(self, holds: bool, reason: str) -> None:
        pass

    def control(self, name: str, values: Sequence[float], **limits: Any) -> None:
        with contextlib.suppress(InvalidClaimError):
            super().control(name, values, **limits)

    def __getitem__(self, name: str) -> Effect:
        found = [m.value for m in self._measurements if m.name == name and m.is_number]
        assert found, f"no reading gave {name!r}"
        return Effect(0.5 if value is None else value for value in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", first_cases)
def test_a_test_asks_for_nothing_that_its_readings_do_not_give(name: str, store: Store) -> None:
    test = first_cases[name]
    asks_what_is_given(test, test.study, test.needs, store)
    assert test.function.__doc__  # the statement of the claim


@pytest.mark.slow
@pytest.mark.parametrize(
    "test", [test for test in ON_CASES if test.claim.study == "language-implant" and "text" not in str(test)], ids=str
)
def test_claims_on_implants_ask_of_facts_what_their_readings_give(test: Test, store: Store) -> None:
    if test.case.parameters.get("tool", "recovery") not in ("relearning", "patching", "recovery"):
        pytest.skip("of a skill")
    study = test.study.on(language_model()[0], (f"implant:{_FOLDER.name}/facts.toml",))
    needs = test.claim.models(study, 0, test.case)
    built(store, needs.values())
    told = asks_what_is_given(test, study, needs, store)
    if test.claim.id == "language.verdict":
        assert "recovery.retention" in told and not any(name.startswith(("probe", "revival")) for name in told)


@pytest.mark.slow
@pytest.mark.parametrize(
    "test", [test for test in ON_CASES if test.claim.id == "language.verdict"], ids=lambda t: str(t.case)
)
def test_where_a_twin_never_saw_the_form_of_the_prompts_a_control_has_it(test: Test, store: Store) -> None:
    needs = test.claim.models(test.study, 0, test.case)
    built(store, needs.values())
    told = asks_what_is_given(test, test.study, needs, store)
    form = {name for name in told if name.startswith("known.revival.form of the prompts")}
    assert form == ({"known.revival.form of the prompts.deleted"} if test.case.parameters["data"] == "text" else set())


def asks_what_is_given(test: Test, study: Any, needs: Mapping[str, Step], store: Store) -> set[str]:
    """Carries out a test on models in the store. Gives the names of what was measured."""
    judge = functools.partial(Lenient, claim=test.claim, case=test.case, nodeid=str(test), method="full", study=study)
    found = judge(lab=Lab(store), steps={0: needs})
    fixtures = {"judge": found, "case": test.case}
    test.function(**{argument: fixtures[argument] for argument in inspect.signature(test.function).parameters})
    record = found.record()
    assert record.measurements and record.task == study.task_name
    verdict = record.verdict
    assert verdict.status is not Status.INVALID or re.search("control failed|values on one side only", verdict.reason)
    return {m.name for m in record.measurements}


COLLECT = """
import sys, pytest
for options in ("", "-k tracr", "--capbench-extended", "--capbench-extended -k tracr"):
    code = pytest.main(["-p", "no:cacheprovider", "suites", "--collect-only", "-q", *options.split()])
    print(f"exit {int(code)} of '{options}'")
"""


@pytest.mark.slow
def test_k_tracr_selects_the_tracr_suites_and_no_other(tmp_path: Path) -> None:
    """In one process, but for imports four runs of their own."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECT],
        cwd=ROOT,
        env={**os.environ, "CAPBENCH_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    *outputs, rest = re.split(r"^exit 0 of '.*'\n", done.stdout, flags=re.M)
    assert (done.returncode, rest, len(outputs)) == (0, "", 4), done.stdout + done.stderr
    found = [{line for line in output.splitlines() if "::" in line} for output in outputs]
    for every, chosen in (found[:2], found[2:]):
        assert chosen == {line for line in every if line.startswith("suites/tracr/")}
        assert chosen and every - chosen
    assert len(found[2]) == len(TESTS)
