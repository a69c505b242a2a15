"""--capbench-expect in pytest: expected ends are no failures, others are, verdicts are judged at the end, reports show it."""

from __future__ import annotations

import pytest
from tiny_suite import folders, lines_with, record, results, run, told, trained, write_suite

TESTS = """
@about_base("out.supported")
def test_supported(judge):
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

@about_base("out.broken")
def test_broken(judge):
    judge.measure((values, ["base"]))
    judge.no_such_thing()

def lost(bench, base, tuned):
    for model in ("base", "tuned"):
        for operand in ("O_PT", "O_FT"):
            for c_te in (0, 1):
                right = 1.0 if (model, operand) == ("base", "O_PT") else 0.0
                yield number(bench, f"{model}.{operand}.c_te{c_te}", right)

@about_method("model.behaviour")
@pytest.mark.parametrize("case", [Case(prior="low", c_tr=1, lr="medium")], ids=str)
def test_behaviour(judge):
    judge.measure((lost, ["base", "tuned"]))
    judge.decide(at_least(judge["base.O_PT.c_te0"], 0.5, "O_PT"))

@pytest.mark.extended
@about_method("model.extended")
@pytest.mark.parametrize("case", [Case(prior="high", c_tr=0, lr="small")], ids=str)
def test_extended(judge):
    pass
"""
MODEL = "pcfg counter a to b[prior=low,c_tr=1,lr=medium]"
UNDECIDED = "undecided, fine-tuned task not learned: behaviour gone, but revival and patching were not measured"


@pytest.fixture(autouse=True)
def suite(pytester: pytest.Pytester) -> None:
    write_suite(pytester, TESTS)


def expect(pytester: pytest.Pytester, *entries: str) -> str:
    """The option with a file of these entries: 'claim|verdict pattern -> expected', 'r' being the reason of each."""
    text = ""
    for entry in entries:
        kind, _, rest = entry.partition(" ")
        pattern, _, expected = rest.partition(" -> ")
        text += f"[[{kind}]]\npattern = {pattern!r}\nexpect = {expected.split(' or ')}\nreason = 'r'\n"
    (pytester.path / "mine.toml").write_text(text)
    return "--capbench-expect=mine.toml"


def test_expected_ends_are_xfailed_or_passed_and_stand_in_the_report(pytester: pytest.Pytester) -> None:
    option = expect(
        pytester, "claim out.* -> supported", "claim out.refuted -> refuted", "claim out.r?q* -> invalid or refuted",
        "claim out.inc* -> inconclusive",
    )  # fmt: skip
    result = run(pytester, option, "-rx", "-k", "out. and not broken", "--capbench-report=reports")
    result.assert_outcomes(passed=1, xfailed=3, deselected=3)
    assert result.ret == 0
    assert lines_with(result, "capbench: ", ", expecting mine.toml")
    (line,) = (line for line in result.outlines if line.startswith("XFAIL") and "test_refuted" in line)
    assert line.endswith("out.refuted: the one 1 [1, 1] >= 1.5: refuted (margin -0.5); expected refuted: r")
    assert lines_with(result, "XFAIL", "test_required", "the base model knows nothing; expected invalid: r")
    assert not lines_with(result, "capbench expectations")
    found = results(pytester)
    assert record(found, "out.refuted").expected == "refuted: r"
    assert record(found, "out.required").expected == "invalid or refuted: r"
    assert lines_with(result, "out.refuted", "refuted (expected)")
    (folder,) = folders(pytester)
    assert "✘ refuted (expected)" in (folder / "summary.md").read_text()
    assert "(refuted; expected: refuted: r)" in (folder / "summary.md").read_text()
    page = (folder / "report.html").read_text()
    assert page.count("</span> (expected)</td>") == 4 and "<dd>invalid or refuted: r</dd>" in page


def test_other_ends_fail_even_if_they_are_supported(pytester: pytest.Pytester) -> None:
    option = expect(pytester, "claim out.* -> refuted", "claim out.refuted -> inconclusive")
    result = run(pytester, "-v", option, "-k", "out. and not broken", "--capbench-report=reports")
    result.assert_outcomes(failed=3, errors=1, deselected=3)
    assert result.ret == 1
    assert told(result, "out.supported") == [
        "out.supported: the one 1 [1, 1] >= 0.5: supported (margin +0.5); expected refuted (r), "
        "so this expectation no longer holds"
    ]
    assert told(result, "out.required") == [
        "out.required: invalid: the base model knows nothing; expected refuted (r), so this expectation no longer holds"
    ]
    assert lines_with(result, "out.supported", "supported (unexpected)")
    assert record(results(pytester), "out.supported").expected == "not met, refuted: r"


def test_what_no_pattern_matches_ends_as_without_expectations(pytester: pytest.Pytester) -> None:
    result = run(pytester, expect(pytester, "claim model.* -> supported"))
    result.assert_outcomes(passed=2, failed=1, xfailed=1, errors=2, deselected=1)
    assert run(pytester, "--capbench-expect=paper").parseoutcomes() == result.parseoutcomes()


def test_a_broken_test_is_never_expected_and_keeps_its_traceback(pytester: pytest.Pytester) -> None:
    result = run(pytester, expect(pytester, "claim out.* -> invalid"), "-k", "broken")
    result.assert_outcomes(errors=1, deselected=6)
    assert lines_with(result, "no_such_thing()") and result.ret == 1


def test_a_verdict_that_is_not_as_expected_makes_the_run_fail(pytester: pytest.Pytester) -> None:
    good = run(pytester, expect(pytester, "verdict * -> undecided"), "-k", "behaviour")
    good.assert_outcomes(passed=1, deselected=6)
    assert good.ret == 0 and not lines_with(good, "capbench expectations")
    bad = run(pytester, expect(pytester, "verdict pcfg* -> deleted"), "-k", "behaviour")
    bad.assert_outcomes(passed=1, deselected=6)
    assert bad.ret == 1
    (line,) = lines_with(bad, "FAILED")
    assert line.startswith(f"FAILED {MODEL} (full): {UNDECIDED}")
    assert line.endswith("; expected deleted (r), so this expectation no longer holds")


QUIET = (
    "-W",
    "error",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)  # the latter: this process has imported capbench


@pytest.mark.parametrize("options", [("-k", "supported"), ("--collect-only",), QUIET], ids=str)
def test_patterns_that_match_nothing_are_told_however_the_run_was_narrowed(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    option = expect(
        pytester, "claim out.* -> supported or refuted or inconclusive or invalid", "claim out.refutd -> refuted",
        "claim model.extended[[]* -> refuted", "claim model.extended[*] -> supported",
        "verdict pcfg counter a to b[prior=high,c_tr=0,*] -> intact", "verdict pcfg counter a to c* -> intact",
    )  # fmt: skip
    result = run(pytester, option, *options)
    assert not lines_with(result, "INTERNALERROR")
    assert [line.split(" matches ")[0] for line in lines_with(result, " matches no ")] == [
        "warning: mine.toml: [[claim]] 'out.refutd'",
        "warning: mine.toml: [[claim]] 'model.extended[[]*'",
        "warning: mine.toml: [[verdict]] 'pcfg counter a to c*'",
    ]
    assert result.ret == (1 if options is QUIET else 0)  # the broken test


def test_one_test_by_its_name_is_told_of_no_patterns_and_built_in_ones_never(pytester: pytest.Pytester) -> None:
    one = run(pytester, expect(pytester, "claim nothing -> refuted"), "test_tiny.py::test_supported")
    one.assert_outcomes(passed=1)
    assert not lines_with(one, " matches no ")
    built_in = run(pytester, "--capbench-expect=delete", "-k", "supported")
    built_in.assert_outcomes(passed=1, deselected=6)
    assert not lines_with(built_in, " matches no ") and built_in.ret == 0


def test_a_method_that_fails_leaves_the_expected_verdict_missing(pytester: pytest.Pytester) -> None:
    (pytester.path / "mine.py").write_text("def tune(model, task, config): raise ValueError('out of luck')\n")
    option = expect(pytester, "claim * -> invalid or supported", "verdict * -> intact")
    result = run(pytester, option, "--capbench-method=mine.py:tune", "-k", "behaviour")
    result.assert_outcomes(xfailed=1, deselected=6)  # its own fault: it gave no `because`
    assert result.ret == 1
    assert lines_with(result, f"FAILED {MODEL} (mine.py:tune): no verdict, though one was expected: ", "out of luck")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "mine.toml"),
        ("[[claim]", "mine.toml is not valid TOML"),
        (
            "[[claim]]\npattern = 'a'\nexpect = 'refutd'\nreason = 'r'",
            "mine.toml: [[claim]] 1 ('a'): unknown expect 'refutd'",
        ),
    ],
)
def test_a_file_that_is_wrong_is_told_before_anything_is_computed(
    pytester: pytest.Pytester, text: str | None, line: str
) -> None:
    if text is not None:
        (pytester.path / "mine.toml").write_text(text)
    result = run(pytester, "--capbench-expect=mine.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert lines_with(result, "ERROR: --capbench-expect: ", line)
    assert not lines_with(result, "Traceback") and trained(pytester) == 0
