"""Properties of any two runs compared, and what is shown of them."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_example import example
from runs_example import NO, STATES, YES, broken, claim, healthy, planted, regressions, run, verdict, what

from capbench.compare.rows import Outcome
from capbench.compare.runs import compare
from capbench.compare.show import to_json, to_markdown, to_text
from capbench.results import Results

# ---- properties

effects = st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=1, max_size=3)


@st.composite
def runs(draw: st.DrawFn) -> Results:
    records: list[Any] = []
    for name in draw(st.sets(st.sampled_from("abcde"), max_size=4)):
        if draw(st.booleans()) or draw(st.booleans()):
            per_seed = draw(effects)
            seeds = draw(st.permutations(range(4)))[: len(per_seed)]
            records.append(claim(name, per_seed, draw(st.sampled_from([0, 1])), most=name < "c", seeds=seeds))
        else:
            records.append(broken(name, draw(st.sampled_from(["one", "two"]))))
    if draw(st.booleans()):
        tools = draw(st.dictionaries(st.sampled_from(["behaviour", "probing"]), st.floats(0, 1)))
        ends = st.sampled_from(["shortcut", "learned", None])
        records.append(verdict(draw(st.sampled_from(STATES)), draw(ends), keep=draw(st.booleans()), **tools))
    return run(*records)


@settings(max_examples=50, deadline=None)
@given(runs())
def test_a_run_compared_with_itself_is_no_difference(one: Results) -> None:
    comparison = compare(one, one)
    assert not comparison.setup and not comparison.notes
    assert not comparison.moved_claims and not comparison.moved_verdicts
    assert regressions(one, one, "verdict", "margin:0") == ()


SWAPPED = {Outcome.IMPROVED: Outcome.WORSE, Outcome.LOST: Outcome.GAINED, Outcome.ONLY_A: Outcome.ONLY_B}
SWAPPED |= {b: a for a, b in SWAPPED.items()}


@settings(max_examples=50, deadline=None)
@given(runs(), runs())
def test_the_other_way_round_everything_is_the_opposite(a: Results, b: Results) -> None:
    there, back = compare(a, b), compare(b, a)
    assert [(d.what, d.b, d.a) for d in there.setup] == what(back)
    for one, other in zip(there.claims, back.claims, strict=True):
        assert (one.id, SWAPPED.get(one.outcome, one.outcome)) == (other.id, other.outcome)
        assert (one.seeds, one.differences) == (other.seeds, tuple(-d for d in other.differences))
        assert (one.change is None) is (other.change is None)
        assert one.change is None or (other.change is not None and one.change == -other.change)
        assert one.ci == (other.ci and (-other.ci[1], -other.ci[0])) and one.noise == other.noise
    for left, right in zip(there.verdicts, back.verdicts, strict=True):
        assert (left.id, SWAPPED.get(left.outcome, left.outcome)) == (right.id, right.outcome)
        assert (left.verdict_a, left.verdict_b) == (right.verdict_b, right.verdict_a)
        assert left.beyond == right.beyond


@settings(max_examples=30, deadline=None)
@given(runs(), runs(), st.randoms(use_true_random=False))
def test_the_order_of_records_says_nothing(a: Results, b: Results, rng: random.Random) -> None:
    twice = dataclasses.replace(a, records=a.records + tuple(claim("a", (x, x), nodeid=f"n{x}") for x in (1, 2)))
    mixed = dataclasses.replace(
        twice,
        records=tuple(rng.sample(twice.records, len(twice.records))),
        capabilities=tuple(rng.sample(twice.capabilities, len(twice.capabilities))),
    )
    assert compare(mixed, b) == compare(twice, b) and compare(b, mixed) == compare(b, twice)


@settings(max_examples=30, deadline=None)
@given(runs(), runs())
def test_every_form_shows_every_moved_claim_and_json_holds_no_nan(a: Results, b: Results) -> None:
    comparison = compare(a, b)
    text, page = to_text(comparison), to_markdown(comparison)
    for moved in comparison.moved_claims:
        assert moved.id in text and moved.id in page
    raw = json.loads(to_json(comparison, ["x"]), parse_constant=pytest.fail)
    assert len(raw["claims"]) == len(comparison.claims) and raw["regression"] == ["x"]


# ---- what is shown


def test_no_difference_is_said_in_one_line() -> None:
    shown = to_text(compare(example(), example()))
    assert shown.splitlines()[-1] == "no difference: 11 claims (11 unchanged); 3 capability verdicts (3 unchanged)"
    assert "wrapper.pruning" not in shown and "set-up" not in shown
    assert to_text(compare(example(), example()), every=True).count("wrapper.pruning[prior=low,") == 2
    assert to_text(compare(run(), run())).splitlines()[-1] == "nothing to compare: the runs hold no claims"


def test_the_terminal_shows_statuses_differences_and_tools_in_120_columns() -> None:
    shown = to_text(compare(healthy(), planted()))
    assert max(map(len, shown.splitlines())) <= 120
    for part in ("supported → refuted", "-5.10", "-6.50", "-5.30", "wrapped → deleted", "probing 0.99 → 0.10"):
        assert part in " ".join(shown.split()), part
    assert "relevance.shortcut" not in shown
    assert "(full)" not in shown  # one method: no need to name it in every row
    two = run(claim("a.b", YES), claim("a.b", YES, method="other"))
    assert "a.b (other)" in to_text(compare(two, run(claim("a.b", NO, method="other"))))


def test_markdown_tells_the_regression_and_escapes_what_is_not_its_own() -> None:
    bad = dataclasses.replace(claim("a.b", NO), case="x|y*")
    page = to_markdown(compare(run(dataclasses.replace(bad, verdict=claim("a", YES).verdict)), run(bad)), ["a.b | c"])
    assert "- a.b \\| c" in page and "x\\|y\\*" in page and "| supported → refuted |" in page
