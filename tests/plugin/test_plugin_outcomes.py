"""How the verdict of a claim looks in pytest: passed, failed, xfailed or an error, each with one line."""

from __future__ import annotations

import pytest
from tiny_suite import lines_with, record, results, run, told, write_suite

TESTS = '''
@about_base("out.supported")
def test_supported(judge):
    """One is at least a half,
    on every seed.

    Not part of the statement."""
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "the one"))

@about_base("out.refuted")
def test_refuted(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 1.5, "the one"))

@about_base("out.inconclusive")
def test_inconclusive(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["seed"], 0.25, "the seed"))

@about_base("out.required")
def test_required(judge):
    judge.measure((values, ["base"]))
    judge.require(judge["one"] == [2, 2], "the base model knows nothing")
    judge.decide(at_least(judge["one"], 0.5, "the one"))

@about_base("out.control")
def test_control(judge):
    judge.measure((values, ["base"]))
    judge.control("the floor", judge["one"], high=0.1)
    judge.decide(at_least(judge["one"], 0.5, "the one"))

@about_base("out.nothing")
def test_nothing(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["nothing"], 0.5, "nothing"))

@about_base("out.undecided")
def test_undecided(judge):
    judge.measure((values, ["base"]))

@about_base("out.broken")
def test_broken(judge):
    judge.measure((values, ["base"]))
    judge.no_such_thing()

@pytest.mark.extended
@about_base("out.extended")
def test_extended(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "the one"))

def test_other():
    pass
'''


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


def has_no_traceback(result: pytest.RunResult) -> bool:
    words = ("Traceback", "capbench/judge.py", "pytest_plugin.py", "InvalidClaimError", "INTERNALERROR")
    return not any(lines_with(result, word) for word in words)


def test_a_supported_claim_passes_and_its_docstring_is_its_statement(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v", "-k", "test_supported", "--capbench-report=reports")
    result.assert_outcomes(passed=1, deselected=9)
    result.stdout.fnmatch_lines(["*::test_supported PASSED*"])
    assert result.ret == 0
    found = record(results(pytester), "out.supported")
    assert found.statement == "One is at least a half, on every seed."
    assert (found.verdict.effect, found.verdict.margin, found.verdict.n_seeds) == (1.0, 0.5, 2)


def test_a_refuted_claim_fails_with_one_line_of_numbers(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v", "-k", "test_refuted")
    result.assert_outcomes(failed=1, deselected=9)
    assert result.ret == 1
    assert told(result, "out.refuted") == ["out.refuted: the one 1 [1, 1] >= 1.5: refuted (margin -0.5)"]
    assert has_no_traceback(result)
    assert not lines_with(result, "judge.decide")  # nor the test's own source


def test_an_inconclusive_claim_is_xfailed_with_its_reason(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v", "-rx", "-k", "test_inconclusive")
    result.assert_outcomes(xfailed=1, deselected=9)
    assert result.ret == 0
    (line,) = (line for line in result.outlines if line.startswith("XFAIL"))
    assert "test_inconclusive - out.inconclusive: " in line
    assert "the seed 0.5 [-5.85, 6.85] >= 0.25: inconclusive (margin +0.25)" in line
    assert "straddles the threshold 0.25" in line
    assert has_no_traceback(result)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("required", "the base model knows nothing"),
        ("control", "control failed: the floor is 1 [1, 1], expected <= 0.1"),
        ("nothing", "nothing has no value for seeds [0, 1]: it never came"),
        ("undecided", "the test ended without a verdict"),
    ],
)
def test_a_claim_that_cannot_be_tested_is_an_error_with_one_line(
    pytester: pytest.Pytester, name: str, reason: str
) -> None:
    result = run(pytester, "-v", "-k", f"test_{name}", "--capbench-report=reports")
    result.assert_outcomes(errors=1, deselected=9)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*::test_{name} INVALID*"])
    assert told(result, f"out.{name}") == [f"out.{name}: invalid: {reason}"]
    assert has_no_traceback(result)
    found = record(results(pytester), f"out.{name}").verdict
    assert (str(found.status), found.reason, found.effect) == ("invalid", reason, None)


def test_a_broken_test_is_invalid_and_keeps_its_traceback(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v", "-k", "test_broken", "--capbench-report=reports")
    result.assert_outcomes(errors=1, deselected=9)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*::test_broken INVALID*", ">*judge.no_such_thing()", "E*AttributeError*no_such_thing*", "test_tiny.py:*"]
    )
    reason = record(results(pytester), "out.broken").verdict.reason
    assert reason.startswith("the test failed: AttributeError:")
    assert "no_such_thing" in reason


def test_extended_claims_run_only_when_asked_for(pytester: pytest.Pytester) -> None:
    plain = run(pytester, "-v", "-k", "test_extended or test_supported")
    plain.assert_outcomes(passed=1, deselected=9)
    assert not lines_with(plain, "::test_extended")
    asked = run(pytester, "-v", "-k", "test_extended or test_supported", "--capbench-extended")
    asked.assert_outcomes(passed=2, deselected=8)
    asked.stdout.fnmatch_lines(["*::test_extended PASSED*"])


def test_k_selects_by_the_id_of_the_claim(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-v", "-k", "out.refuted")
    result.assert_outcomes(failed=1, deselected=9)
    assert lines_with(result, "::test_refuted FAILED")


def test_a_whole_run_counts_every_end_and_tests_without_a_claim(pytester: pytest.Pytester) -> None:
    result = run(pytester)
    result.assert_outcomes(passed=2, failed=1, xfailed=1, errors=5, deselected=1)
    assert result.ret == 1


def test_x_stops_at_the_first_invalid_claim(pytester: pytest.Pytester) -> None:
    result = run(pytester, "-x", "-k", "required or control or nothing")
    result.assert_outcomes(errors=1, deselected=7)


MISTAKES = {
    "no_marker": ("def test_wrong(judge): pass", "claim"),
    "no_id": ("@pytest.mark.claim(source='Fig. 0', needs=base)\ndef test_wrong(judge): pass", "id"),
    "no_needs": ("@pytest.mark.claim('bad', source='Fig. 0')\ndef test_wrong(judge): pass", "needs"),
    "unknown_word": ("@about_base('bad', nedes=base)\ndef test_wrong(judge): pass", "nedes"),
    "needs_fails": (
        "def wrong(study, seed, case): return {'base': tiny(study).base(seed, prior='hgh')}\n"
        "@about_base('bad', needs=wrong)\ndef test_wrong(judge): judge.measure((values, ['base']))",
        "hgh",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_suite_is_told_by_name_and_costs_no_other_test(pytester: pytest.Pytester, mistake: str) -> None:
    source, word = MISTAKES[mistake]
    pytester.path.joinpath("test_tiny.py").write_text(
        pytester.path.joinpath("test_tiny.py").read_text() + "\n" + source + "\n"
    )
    result = run(pytester, "-v", "-k", "test_wrong or test_supported")
    assert has_no_traceback(result)
    assert lines_with(result, word)
    result.assert_outcomes(passed=1, errors=1, deselected=9)
