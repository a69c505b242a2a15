"""A claim on variants, from the command line to the report: tried on each, shrunk where it fails, tried again by its id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.core  # noqa: F401  # as in tiny_suite: an inner run forgets its imports
import pytest
from tiny_suite import MAKING, capbench, is_usage_error, lines_with, record, results, run, told, trained, write_suite

from capbench.pipeline.clock import Clock
from capbench.pipeline.priority_plan import PriorityPlan
from capbench.pipeline.steps import Pretrain, Step
from capbench.results import Status

TESTS = """
from hypothesis import strategies as st
from capbench.studies.pcfg.own import TaskSpec
from capbench.studies.pcfg.variant import Variant

FEW = dict(batch_size=8, finetune_steps=2, watch_every=1, n_evaluate=8, n_select=8, n_watch=8)

def variant(q, o_ft, text_len):
    setting = PcfgSetting(text_len=text_len, numbers={"C": 5})
    return Variant(task=TaskSpec(setting=setting, o_ft=o_ft, q=q, d_model=8, n_heads=1, n_blocks=1, pretrain_steps=2))

TINY = st.builds(variant, st.sampled_from((1, 2, -1)), st.sampled_from("bc"), st.sampled_from((8, 9, 10)))

def on_variant(study, seed, case):
    study = dataclasses.replace(study, preset=dataclasses.replace(study.preset, **FEW))
    return {"tuned": study.finetuned(seed, prior=case.prior, c_tr=case.c_tr, lr=case.lr)}

def about_variants(id, strategy=TINY, **more):
    mark = pytest.mark.claim(id, **{"source": "none", "needs": on_variant, **more})
    return lambda test: pytest.mark.variants(strategy=strategy)(mark(test))

def offset(bench, tuned):
    yield number(bench, "q", float(bench.study.spec.q))
    yield number(bench, "steps", float(tuned.meta["steps"]))

def holds_for_positive(judge):
    judge.measure((offset, ["tuned"]))
    judge.control("steps", judge["steps"], low=2)
    judge.decide(at_least(judge["q"], 0.0, "the offset"))

@about_variants("var.positive")
def test_positive(variants):
    \"\"\"The offset is positive.\"\"\"
    variants.decide(holds_for_positive, share=0.95)

@about_base("var.base")
def test_of_base(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "one"))
"""

ALWAYS = """
def from_function():
    return TINY

@about_variants("var.always", strategy=from_function)
def test_always(variants):
    def always(judge):
        judge.measure((offset, ["tuned"]))
        judge.decide(at_least(judge["steps"], 2.0, "steps"))
    variants.decide(always, share=0.3)
"""
LOST = """
def further(study, seed, case):
    study = dataclasses.replace(study, preset=dataclasses.replace(study.preset, **FEW))
    return {"never": study.finetuned(seed, prior="never", c_tr=case.c_tr, lr=case.lr)}

def kept(bench, tuned):
    for c_te in (0, 1):
        yield number(bench, f"tuned.O_PT.c_te{c_te}", 1.0 if bench.study.spec.q > 0 else 0.0)

def looked_for(bench, never):
    yield number(bench, "steps", float(never.meta["steps"]))

@about_variants("var.lost", needs_where_lost=further)
def test_lost(variants):
    def claim(judge):
        judge.measure((kept, ["tuned"]), where_lost=[(looked_for, ["never"])])
        if judge.lost:
            judge.control("steps", judge["steps"], low=2)
        judge.decide(at_least(judge["tuned.O_PT.c_te0"], 0.5, "kept"))
    variants.decide(claim, share=0.3)
"""
SIX = ("--capbench-variants=6", "--capbench-report=reports", "-k", "var.positive")


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


def test_without_the_option_claims_on_variants_are_deselected(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--capbench-report=reports")
    result.assert_outcomes(passed=1, deselected=1)
    assert [r.claim for r in results(pytester).records] == ["var.base"]
    assert not (pytester.path / "cache" / "variants").exists()


@pytest.mark.slow
def test_each_variant_is_tried_the_failing_one_shrunk_and_tried_again_by_its_id(pytester: pytest.Pytester) -> None:
    result = run(pytester, *SIX)
    result.assert_outcomes(failed=1, deselected=1)
    found = record(results(pytester), "var.positive", "full")
    drawn = [t for t in found.trials if not t.shrunk_from]
    shrunk = [t for t in found.trials if t.shrunk_from]
    assert len({t.id for t in drawn}) == 6 and len(shrunk) <= 1
    for trial in found.trials:
        q = trial.variant["task"]["q"]
        assert (trial.status, trial.effect, trial.margin) == (
            (Status.SUPPORTED, q, q) if q > 0 else (Status.REFUTED, q, q)
        )
    simplest = next(t for t in found.trials if "q=-1" in t.words and "o_ft=c" not in t.words and "of 8" in t.words)
    assert simplest.status is Status.REFUTED
    supported = sum(t.status is Status.SUPPORTED for t in drawn)
    assert 0 < supported < 6
    assert found.verdict.effect == supported / 6 and found.verdict.status is Status.REFUTED
    assert f"{supported} supported, {6 - supported} refuted, 0 inconclusive, 0 invalid" in found.verdict.reason
    made = trained(pytester)

    again = run(pytester, "--capbench-report=again", f"--capbench-replay={simplest.id}")
    again.assert_outcomes(failed=1, deselected=1)
    (only,) = record(results(pytester, "again"), "var.positive").trials
    assert (only.id, only.status, only.words) == (simplest.id, Status.REFUTED, simplest.words)
    assert trained(pytester) == made, "nothing new was trained or read"

    other = run(pytester, f"--capbench-replay={simplest.id}", "--capbench-cache=other", "-q")
    other.assert_outcomes(failed=1, deselected=1)
    assert trained(pytester, "other") > 0, "the variant came from the report, and its models were made"


def test_what_cannot_be_tried_is_invalid_and_says_why(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(mine="def raises(model, task, config): raise ValueError('this method breaks')")
    write_suite(pytester, TESTS + ALWAYS)
    two = ("--capbench-variants=2", "-k", "var.always")
    ways = {
        "time": (*two, "--capbench-variants-minutes=0.0001"),
        "raises": (*two, "--capbench-method=mine.py:raises"),
        "missing": (*two, "--capbench-method=absent.py:it"),
    }
    reasons = {"time": "no time was left", "raises": "this method breaks", "missing": "absent.py"}
    for way, options in ways.items():
        result = run(pytester, *options, f"--capbench-report={way}")
        found = record(results(pytester, way), "var.always")
        assert result.ret == 1 and found.verdict.status is Status.INVALID
        assert reasons[way] in found.verdict.reason and "\n" not in found.verdict.reason
        assert reasons[way] in told(result, "var.always")[0]
        assert [t.status for t in found.trials] == ([] if way == "missing" else [Status.INVALID] * 2)
        assert all(reasons[way] in t.reason for t in found.trials)


def test_what_is_needed_where_a_behaviour_is_lost_is_made_for_those_variants_alone(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS + LOST)
    six = ("--capbench-variants=6", "-k", "var.lost", "--capbench-report=reports")
    run(pytester, *six)
    found = record(results(pytester), "var.lost")
    drawn = {t.id: t for t in found.trials}
    assert {t.status for t in drawn.values()} == {Status.SUPPORTED, Status.REFUTED}
    never = {name.partition("/")[0] for name in found.artefacts if name.endswith("/never")}
    refuted = {id for id, t in drawn.items() if t.status is Status.REFUTED}
    assert never & drawn.keys() == refuted  # besides, those tried on the way to the simplest
    made = trained(pytester)
    run(pytester, *six[:-1], "--capbench-report=again")
    assert trained(pytester) == made and record(results(pytester, "again"), "var.lost").trials == found.trials


@pytest.mark.slow
def test_what_there_was_no_time_for_is_not_begun_by_the_trials_either(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first variant's models fit, the second's do not: so nothing of the third's, and the rest of the time goes by."""
    real_run, real_fits, asked = PriorityPlan.run, Clock.fits, list[str]()
    preparing = [False]

    def run_in_turn(plan: PriorityPlan, *arguments: Any, **more: Any) -> dict[str, str]:
        preparing[0] = True
        errors = real_run(plan, *arguments, **more)
        preparing[0] = False
        return errors

    def fits(clock: Clock, step: Step) -> bool:
        asked.extend([step.key] if isinstance(step, Pretrain) and step.key not in asked else [])
        return real_fits(clock, step) and not (preparing[0] and step.key in asked[1:2])

    monkeypatch.setattr(PriorityPlan, "run", run_in_turn)
    monkeypatch.setattr(Clock, "fits", fits)
    write_suite(pytester, TESTS + ALWAYS)
    result = run(pytester, "--capbench-variants=3", "-k", "var.always", "--capbench-report=reports")
    found = record(results(pytester), "var.always")
    assert [trial.status for trial in found.trials] == [Status.SUPPORTED, Status.INVALID, Status.INVALID]
    assert all("no time was left" in trial.reason for trial in found.trials[1:])
    assert lines_with(result, "12 min were enough for 1 of 3 variants, in the order of the draw; 2 left out")


def test_training_says_where_the_time_was_not_enough_for_all_variants(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS + ALWAYS)
    words = ("train", "test_tiny.py", *MAKING, "--variants=2", "-k", "var.always")
    short = capbench(pytester, *words, "--variants-minutes=0.0001")
    assert short.ret == 1 and lines_with(short, "time for variants was not enough: ", "of their models are not made")
    assert lines_with(short, "give more time with --variants-minutes")
    made = capbench(pytester, *words)
    assert made.ret == 0 and not lines_with(made, "not enough")
    again = capbench(pytester, *words, "--variants-minutes=0.0001")
    assert again.ret == 0 and not lines_with(again, "not enough"), "all are there"
    others = capbench(pytester, "plan", *words[1:], "--hypothesis-seed=7")
    assert others.ret == 0 and not lines_with(others, " 0 to make")  # they are other variants


def test_a_wrong_test_on_variants_says_so_and_costs_the_others_nothing(pytester: pytest.Pytester) -> None:
    wrong = """
@pytest.mark.claim("var.unmarked", source="none", needs=on_variant)
def test_unmarked(variants): ...

@pytest.mark.variants(5)
@pytest.mark.claim("var.no_strategy", source="none", needs=on_variant)
def test_no_strategy(variants): ...

@about_variants("var.no_function", strategy=lambda: 1 // 0)
def test_no_function(variants): ...

@about_variants("var.integers", strategy=st.integers())
def test_integers(variants): ...

@about_variants("var.no_rate", strategy=TINY.map(lambda v: dataclasses.replace(v, lr="enormous")))
def test_no_rate(variants):
    variants.decide(holds_for_positive, share=0.5)

@about_variants("var.forgotten")
def test_forgotten(variants): ...
"""
    write_suite(pytester, TESTS + ALWAYS + wrong)
    result = run(pytester, "--capbench-variants=1", "-k", "not positive and not base")
    assert result.ret == 1 and not lines_with(result, "INTERNALERROR")
    assert lines_with(result, "test_unmarked uses `variants`, so it needs @pytest.mark.variants(strategy)")
    assert lines_with(result, "test_no_strategy: mark variants(5): must be a strategy")
    assert lines_with(result, "test_no_function: mark variants: <lambda> failed: ZeroDivisionError: ")
    assert lines_with(result, "integers() gives a int, not a capbench.studies.pcfg.variant.Variant")
    assert told(result, "var.no_rate") and "enormous" in told(result, "var.no_rate")[0]
    assert "without a verdict" in told(result, "var.forgotten")[0]
    result.assert_outcomes(errors=6, xfailed=1)  # of one variant no share is known


HYPOTHESIS = ("-p", "hypothesispytest")  # its plugin, whose option it is; runs do without it otherwise
WRONG = [
    (["--capbench-variants=0"], ["--capbench-variants=0", "at least 1"]),
    (["--capbench-variants=abc"], ["=abc", "whole number"]),
    (["--capbench-variants=2", "--capbench-variants-minutes=-1"], ["minutes=-1", "above 0"]),
    (["--capbench-replay=nosuch"], ["--capbench-replay=nosuch", "no such variant"]),
    (["--capbench-replay=nosuch", "-n", "2", "--capbench-report=r"], ["nosuch"]),
    ([*HYPOTHESIS, "--capbench-variants=2", "--hypothesis-seed=word"], ["--hypothesis-seed=word", "whole number"]),
    (["--capbench-variants=2", "--capbench-task=task.py:SPEC"], ["--capbench-task", "variants"]),
]


@pytest.mark.parametrize(("options", "parts"), WRONG, ids=[" ".join(options) for options, _ in WRONG])
def test_a_wrong_option_ends_the_run_in_one_line(
    options: list[str], parts: list[str], pytester: pytest.Pytester
) -> None:
    assert is_usage_error(run(pytester, *options), *parts)
    assert not Path(pytester.path / "r").exists()


def test_a_word_as_the_seed_of_hypothesis_is_nothing_to_a_run_without_variants(pytester: pytest.Pytester) -> None:
    assert run(pytester, *HYPOTHESIS, "--collect-only", "-q", "--hypothesis-seed=word").ret == 0


def test_collecting_variants_draws_and_trains_none(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--collect-only", "-q", "--capbench-variants=3")
    assert result.ret == 0 and lines_with(result, "test_tiny.py::test_positive")
    assert not (pytester.path / "cache").exists()
