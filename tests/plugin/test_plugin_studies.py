"""A claim says which experiment it is about: each gets its own study, in one run."""

from __future__ import annotations

import pytest
from implants import written
from tiny_suite import lines_with, record, results, run, told, trained, write_suite

from capbench.store.store import Store
from capbench.studies.tracr.preset import small, smoke

TESTS = """
def needs(kind):
    def checked(study, seed, case):
        assert type(study).__name__ == kind
        return {}
    return checked

def about(id, kind, **more):
    return pytest.mark.claim(id, **{"source": "Fig. 0", "needs": needs(kind), **more})

def decide(judge):
    judge.measure()
    judge.decide(at_least([1.0], 0.5, "one"))

@about("study.default", "PcfgCounter")
def test_default(judge):
    decide(judge)

@about("study.pcfg", "PcfgCounter", study="pcfg-counter")
def test_pcfg(judge):
    decide(judge)

@about("study.counter", "TracrCounter", study="tracr-counter")
def test_counter(judge):
    decide(judge)

@about("study.max", "TracrMax", study="tracr-max")
@pytest.mark.parametrize("case", [Case(c_tr=1, lr="very-small")], ids=str)
def test_max(judge):
    decide(judge)

@about_base("study.models")
def test_models(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "the one"))

@pytest.mark.claim("study.compiled", source="Fig. 0", study="tracr-counter", uses_method=False,
                   needs=lambda study, seed, case: {"base": study.base(seed)})
def test_compiled(judge):
    assert judge.steps[0]["base"].start.program == "capbench.tasks.tracr.programs:count"
    decide(judge)

@about("study.unknown", "PcfgCounter", study="tracr-conter")
def test_unknown(judge):
    decide(judge)
"""


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


def test_every_claim_of_one_run_gets_its_own_study(pytester: pytest.Pytester) -> None:
    chosen = "default or pcfg or counter or max or models"
    result = run(pytester, "-k", chosen, "--capbench-report=reports")
    result.assert_outcomes(passed=5, deselected=2)
    found = results(pytester)
    tasks = {claim: record(found, f"study.{claim}").task for claim in ("default", "pcfg", "counter", "max", "models")}
    assert tasks == {
        "default": "pcfg counter a to b",
        "pcfg": "pcfg counter a to b",
        "counter": "tracr count a to b",
        "max": "tracr kth largest 5 to 7",
        "models": "pcfg counter a to b",
    }
    models = {claim: record(found, f"study.{claim}").model.split("-")[0] for claim in ("pcfg", "counter", "max")}
    assert models == {"pcfg": "gpt", "counter": "count", "max": "kth"}
    assert record(found, "study.max").protocol == {
        "c_tr": 1,
        "lr": "very-small",
        "eta": 1e-4,
        "steps": small().finetune_steps,
    }


def test_the_scale_holds_for_all_studies(pytester: pytest.Pytester) -> None:
    run(pytester, "-k", "test_max or test_counter or test_pcfg", "--capbench-scale=smoke", "--capbench-report=reports")
    found = results(pytester)
    sizes = smoke()
    assert record(found, "study.max").protocol["steps"] == sizes.finetune_steps != small().finetune_steps
    assert record(found, "study.counter").model == f"count-{sizes.counter_content[1]}"
    assert record(found, "study.max").model == f"kth-largest-{sizes.max_content[1]}"
    assert trained(pytester) == 0


def test_an_unknown_study_is_one_line_with_those_that_there_are(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v", "-k", "unknown or pcfg")
    result.assert_outcomes(passed=1, errors=1, deselected=5)
    lines = lines_with(
        result,
        "unknown study 'tracr-conter'; known: pcfg-counter, pcfg-indexer, pcfg-jailbreak, deletion-counter, "
        "tracr-counter, tracr-max, stories, language-implant, language-natural, language-pair, calibration",
    )
    assert lines and all("test_tiny.py::test_unknown" in line for line in lines)
    assert not lines_with(result, "Traceback") and not lines_with(result, "INTERNALERROR")
    assert told(result, "study.unknown") == []


def test_compiled_models_are_made_before_the_tests_and_kept(pytester: pytest.Pytester, compiled: Store) -> None:
    """In this process, where jax has been imported for `compiled`: it cannot be imported twice."""
    options = ("-k", "compiled", "--capbench-seeds=1", "--capbench-scale=smoke")
    first, again = run(pytester, *options), run(pytester, *options)
    for result in (first, again):
        result.assert_outcomes(passed=1, deselected=6)
    assert lines_with(first, "2 of 2 models to make") and not lines_with(again, "to make")
    assert trained(pytester) == 2


def test_claims_about_a_language_model_are_skipped_where_none_is_given(pytester: pytest.Pytester) -> None:
    write_suite(
        pytester,
        """
@pytest.mark.claim("language.any", source="own", study="language-implant", uses_method=False,
                   needs=lambda study, seed, case: {"base": study.base})
def test_language(judge):
    raise AssertionError
""",
    )
    result = run(pytester, "-rs")
    result.assert_outcomes(skipped=1)
    assert lines_with(result, "SKIPPED", "no language model was given; --capbench-model=hf:PATH names one")
    assert trained(pytester) == 0


def test_a_tool_that_says_nothing_of_facts_is_not_tried_on_them(pytester: pytest.Pytester) -> None:
    model, skill = written(pytester.path)
    write_suite(
        pytester,
        """
from capbench.studies.judge import Case

@pytest.mark.claim("language.known", source="own", study="language-implant", uses_method=False,
                   needs=lambda study, seed, case: {})
@pytest.mark.parametrize("case", [Case(tool=t) for t in ("probe", "relearning", "recovery")], ids=str)
def test_known(judge, case):
    judge.require(False, f"reached with {case}")
""",
    )
    facts = skill.replace("skill", "facts")
    for capability, why in (
        (facts, "implanted facts are not judged by probe"),
        (skill, "an implanted skill is not judged by recovery"),
    ):
        result = run(pytester, "-rs", f"--capbench-model={model}", f"--capbench-capability={capability}")
        result.assert_outcomes(skipped=1, errors=2)
        assert lines_with(result, "reached with tool=relearning") and lines_with(result, "SKIPPED", why)
