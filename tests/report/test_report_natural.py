"""What became of what a model had: a row for each change, in terminal, summary and page; nothing where none was asked."""

from __future__ import annotations

from dataclasses import replace

from report_example import example

from capbench.report import natural_table
from capbench.report.html import render
from capbench.report.markdown import summary
from capbench.report.natural import Fate, fates
from capbench.results import Measurement, Results

SAID = "recoverable (by <relearning>): it brings back 0.97 [0.84, 1.00]"


def judged(said: str = SAID, *, ends: bool = True) -> Results:
    """The example with two claims that measure the same change, on two seeds."""
    results = example()
    found = [
        Measurement(name=name, value=value, unit="accuracy", n=54, seed=seed, note=note)
        for seed in (0, 1)
        for name, value, note in [
            ("natural.kept", 0.1, ""),
            *([("natural.kept.low", 0.02, ""), ("natural.kept.high", 0.25, "")] if ends else []),
            ("natural.recovered", 0.97, said if seed else "undecided: more items would tell"),
        ]
    ]
    first = replace(
        results.records[0], task="capitals", case="data=rule", method="lora(r=4)", measurements=tuple(found)
    )
    both = (replace(first, claim="language.natural.kept"), replace(first, claim="language.natural.recovered"))
    return replace(results, records=(*both, *results.records))


def test_a_change_is_told_once_for_each_seed() -> None:
    of = ("capitals[data=rule]", "lora(r=4)")
    assert fates(judged()) == [
        Fate(*of, 0, "0.10 [0.02, 0.25]", "undecided", "more items would tell"),
        Fate(*of, 1, "0.10 [0.02, 0.25]", "recoverable (by <relearning>)", "it brings back 0.97 [0.84, 1.00]"),
    ]
    assert fates(judged(ends=False))[0].left == "0.10" and fates(judged("intact"))[1][-2:] == ("intact", "")


def test_all_reports_tell_it_and_escape_it() -> None:
    text, page, shown = summary(judged()), render(judged()), natural_table(judged())
    assert "| capitals\\[data=rule] | lora(r=4) | 1 | 0.10 \\[0.02, 0.25] | recoverable (by \\<relearning>) |" in text
    assert '<section id="natural">' in page and "&lt;relearning&gt;" in page and "<relearning>" not in page
    assert "capitals[data=rule], lora(r=4), seed 1: 0.10 [0.02, 0.25] is left\n    recoverable" in shown


def test_a_run_of_other_claims_has_no_such_table() -> None:
    assert not fates(example()) and not natural_table(example())
    assert 'id="natural"' not in render(example()) and "had from pretraining" not in summary(example())
