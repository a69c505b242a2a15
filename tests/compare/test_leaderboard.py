"""Methods side by side: counts of states, what was measured case by case, costs, the newest run of each."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from cli_runs import run as capbench
from hypothesis import given, settings
from hypothesis import strategies as st
from runs_example import STATES, claim, healthy, run, saved, verdict

from capbench.compare.leaderboard.build import leaderboard
from capbench.compare.leaderboard.show import to_json, to_markdown, to_text
from capbench.compare.leaderboard.summary import score
from capbench.errors import UsageError
from capbench.results import (
    Capability,
    CapabilityState,
    Collateral,
    CollateralState,
    Evidence,
    Measurement,
    Record,
    Results,
)

Captured = pytest.CaptureFixture[str]
UNITS = {"behaviour": "accuracy", "probing": "retention"}  # of the other tools: ratio


def of(method: str, *verdicts: Capability, records: tuple[Record, ...] = (), **info: Any) -> Results:
    """A run of one method, with these verdicts, each on a model of its own."""
    named = [
        dataclasses.replace(v, method=method, protocol={"prior": "low", "lr": str(i)}) for i, v in enumerate(verdicts)
    ]
    return run(*records, *named, run_id=f"run of {method}", methods=(method,), **info)


def cost(seed: int, lr: str, name: str = "a.b", **numbers: float) -> Record:
    found = tuple(
        Measurement(name=f"finetuning.{what}", value=v, unit="", n=0, seed=seed) for what, v in numbers.items()
    )
    protocol = {"prior": "low", "lr": lr}
    return claim(name, (1.0, 1.0), model="gpt", task="counter", protocol=protocol, measurements=found)


def by_seed(states: str, **tools: dict[int, float | None]) -> Capability:
    """A verdict with a state per seed ('WWI': wrapped, wrapped, intact) and what each tool measured on each."""
    known = {state[0].upper(): state for state in ("wrapped", "deleted", "intact", "undecided")}
    evidence = tuple(
        Evidence(tool=tool, value=0.5, unit=UNITS.get(tool, "ratio"), reading="unclear", rule="", per_seed=values)
        for tool, values in tools.items()
    )
    per_seed = {seed: CapabilityState(known[letter]) for seed, letter in enumerate(states)}
    return dataclasses.replace(verdict("undecided"), evidence=evidence, per_seed=per_seed)


def test_states_and_what_became_of_all_else_are_counted() -> None:
    damaged = Collateral(state=CollateralState.DAMAGED, worst="CC", value=0.7, per_seed={0: 0.6, 1: 0.8})
    verdicts = (
        verdict("wrapped", "shortcut"),
        verdict("wrapped", "learned"),
        dataclasses.replace(verdict("deleted", None), collateral=damaged),
    )
    (row,) = leaderboard([of("full", *verdicts)]).standings
    assert row.verdicts == {"intact": 0, "wrapped": 2, "deleted": 1, "destroyed": 0, "undecided": 0}
    assert row.finetuned == {"amplified": 0, "shortcut": 1, "learned": 1, "not learned": 0}
    assert row.collateral == {"kept": 0, "damaged": 1, "lost": 0}
    assert row.cases[2].tools["collateral"].value == pytest.approx(0.7, abs=0.02)  # on the scale of shares


def test_a_tool_counts_only_on_the_seeds_that_lost_the_behaviour() -> None:
    """The intact seed 2 is nothing to revive; seed 1 was censored, so it is missing and no number."""
    found = leaderboard([of("full", by_seed("WWI", revival={0: 4.0, 1: None, 2: 1.0}))])
    (case,) = found.standings[0].cases
    cell = case.tools["revival"]
    assert (case.lost, cell.value, cell.per_seed, cell.missing) == ((0, 1), pytest.approx(4.0), {0: 4.0}, 1)
    assert "4.00 [1.84, 8.70] (1 missing)" in to_text(found)  # one seed: the interval of the prior


def test_a_bound_is_missing_and_no_part_of_the_mean() -> None:
    known = by_seed("WW", revival={0: 4.0, 1: 20.0})
    known = dataclasses.replace(known, evidence=(dataclasses.replace(known.evidence[0], bounds={1: ">="}),))
    cell = leaderboard([of("full", known)]).standings[0].cases[0].tools["revival"]
    assert (cell.per_seed, cell.missing) == ({0: 4.0}, 1)


def test_a_cell_has_a_t_interval_over_seeds_of_ratios_as_factors() -> None:
    """Scale paper has no priors. Ratios 1 2 4: 2, and their logarithms deviate by ln 2; t(2) = 4.303."""
    known = by_seed("WWW", revival={0: 1.0, 1: 2.0, 2: 4.0}, probing={0: 0.4, 1: 0.5, 2: 0.6})
    found = leaderboard([of("a", known, scale="paper")])
    tools = found.standings[0].cases[0].tools
    low, high = tools["probing"].ci or (0, 0)
    assert low + high == pytest.approx(1.0) and low < 0.4
    factor = math.exp(4.3027 * math.log(2) / math.sqrt(3))
    assert tools["revival"].value == pytest.approx(2.0)
    assert tools["revival"].ci == pytest.approx((2 / factor, 2 * factor), rel=1e-4)


def test_where_nothing_was_lost_there_is_nothing_to_revive() -> None:
    found = leaderboard([of("a", by_seed("III", revival={0: 1.0})), of("b", by_seed("DDD", revival={0: 1.0}))])
    assert found.standings[0].cases[0].tools["revival"].value is None
    last = to_text(found).splitlines()[-2:]
    assert [row.split()[:2] for row in last] == [["a", "intact"], ["b", "1.00"]] and "(2 missing)" in last[1]


def test_an_old_run_without_states_by_seed_goes_by_its_behaviour() -> None:
    old = by_seed("", behaviour={0: 0.95, 1: 0.1}, revival={0: 1.0, 1: 7.0})
    (case,) = leaderboard([of("full", old, seeds=(0, 1))]).standings[0].cases
    assert case.lost == (1,) and case.tools["revival"].value == pytest.approx(7.0)
    assert case.tools["behaviour"].value == pytest.approx(0.525, abs=0.06)  # the behaviour itself is read on all seeds


def test_unlike_cases_stand_apart() -> None:
    high, low = by_seed("WW", revival={0: 8.0, 1: 8.0}), by_seed("WW", revival={0: 2.0, 1: 2.0})
    found = leaderboard([of("full", high, low)])
    assert [case.tools["revival"].value for case in found.standings[0].cases] == pytest.approx([8.0, 2.0])
    assert "5.00" not in to_text(found)


def test_a_model_that_several_tests_looked_at_costs_its_training_once() -> None:
    """Seeds 0 and 1 of one model (100 and 300 steps: 200), and another model on one seed (400): 600 in all."""
    records = (
        cost(0, "0", steps=100, tokens=8000, seconds=3.0),
        cost(0, "0", "a.c", steps=100, tokens=8000, seconds=3.0),
        cost(1, "0", steps=300, tokens=8000, seconds=5.0),
        cost(0, "1", steps=400, tokens=2000),
    )
    (row,) = leaderboard([of("full", verdict("intact"), verdict("intact"), records=records, seconds=9.0)]).standings
    assert (row.cost.steps, row.cost.tokens) == (600, 10000)
    assert row.cost.seconds is None  # one of them did not say: missing, and never the time of the run


def test_costs_are_those_of_the_models_that_all_methods_have() -> None:
    one, two = (dataclasses.replace(cost(0, lr, steps=1), method="a") for lr in "01")
    both = of("a", verdict("intact"), verdict("intact"), records=(one, two))
    records = (dataclasses.replace(one, method="b"),)
    found = leaderboard([both, of("b", verdict("intact"), verdict("intact"), records=records)])
    assert [row.cost.steps for row in found.standings] == [1, 1]  # not 2 and 1


# ---- the summary


def test_a_score_is_the_mean_over_cases_with_an_interval_over_seeds() -> None:
    """Case a is .5 on average whatever its number of seeds, b is .9: .7. Drawn with replacement, a is 0, .5 or 1."""
    found = score({"a": {0: 0.0, 1: 1.0}, "b": {0: 0.9, 1: 0.9, 2: 0.9}, "nothing": {}})
    assert (found.value, found.cases) == (pytest.approx(0.7), 2)
    assert found.ci == pytest.approx((0.45, 0.95))
    assert score({"a": {0: 0.0, 1: 1.0}, "b": {0: 0.9}}).ci is None  # one seed has no spread
    assert (score({}).value, score({}).ci, score({}).cases) == (None, None, 0)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=4), min_size=1, max_size=4))
def test_the_interval_of_a_score_lies_within_the_values_and_around_the_mean(cases: list[list[float]]) -> None:
    found = score({str(i): dict(enumerate(values)) for i, values in enumerate(cases)})
    assert found.value is not None and found.ci is not None
    low, high = (sum(map(end, cases)) / len(cases) for end in (min, max))
    assert low - 1e-9 <= found.ci[0] <= found.value + 1e-9 and found.value - 1e-9 <= found.ci[1] <= high + 1e-9


def test_only_cases_that_all_methods_share_are_scored_and_undecided_seeds_are_no_part() -> None:
    a = of("a", by_seed("DDU", behaviour={0: 0.0, 1: 0.2}), by_seed("DDD", behaviour={0: 1.0, 1: 1.0}))
    b = of("b", by_seed("WDD", behaviour={0: 0.5, 1: 0.5}))
    found = leaderboard([a, b])
    first, second = found.standings
    assert found.shared == 1 and "(1 are in all)" in found.notes[0]
    assert (first.accuracy.value, second.accuracy.value) == (pytest.approx(0.1), pytest.approx(0.5))
    assert (first.deleted.value, second.deleted.value) == (1.0, pytest.approx(2 / 3))


# ---- runs and methods


def test_the_newest_run_of_a_method_wins_and_the_other_is_named() -> None:
    old = of("full", verdict("deleted"), start="2025-01-01T00:00:00+00:00")
    new = dataclasses.replace(of("full", verdict("intact"), start="2025-01-02T00:00:00Z"))
    new = dataclasses.replace(new, run=dataclasses.replace(new.run, run_id="newer"))
    for order in ([old, new], [new, old]):
        found = leaderboard(order)
        (row,) = found.standings
        assert (row.run_id, row.verdicts["intact"]) == ("newer", 1)
        assert found.notes == ("full: run run of full is omitted, as newer is newer",)


def test_two_methods_of_one_name_are_told_apart() -> None:
    def made(key: str, **info: Any) -> Results:
        known = dataclasses.replace(cost(0, "0"), method="mine.py:f", artefacts={"tuned/0": key})
        return of("mine.py:f", verdict("intact"), records=(known,), **info)

    first, again, other = made("k", seeds=(0, 1)), made("k", seeds=(0,)), made("other", seeds=(0,))
    for later, differs in ((again, False), (other, True)):
        later = dataclasses.replace(later, run=dataclasses.replace(later.run, run_id="s"))
        note = leaderboard([first, later]).notes[0]
        assert "run of mine.py:f is omitted, as s is newer" in note
        assert ("they made different models" in note) is differs


def test_the_same_run_given_twice_is_one_run() -> None:
    assert leaderboard([healthy(), healthy()]) == leaderboard([healthy()])


def test_several_methods_of_one_run_get_a_row_each() -> None:
    other = dataclasses.replace(verdict("deleted"), method="other")
    found = leaderboard([run(verdict("wrapped"), other)])
    assert [(s.method, s.verdicts["deleted"], s.models) for s in found.standings] == [("full", 0, 1), ("other", 1, 1)]


def test_methods_that_were_judged_on_other_models_or_seeds_are_noted() -> None:
    found = leaderboard([of("a", verdict("intact")), of("b", verdict("intact"), verdict("deleted"), seeds=(0,))])
    assert len(found.notes) == 3
    assert "not all methods were judged on the same models (1 are in all)" in found.notes[0]
    assert "seeds" in found.notes[1]
    assert found.notes[2] == "provisional, from one seed: b"
    assert leaderboard([of("a", verdict("intact")), of("b", verdict("deleted"))]).notes == ()


def test_scales_are_not_mixed() -> None:
    with pytest.raises(UsageError, match=r"paper: run of b; small: run of a"):
        leaderboard([of("a", verdict("intact")), of("b", verdict("intact"), scale="paper")])
    with pytest.raises(UsageError, match="no runs to show"):
        leaderboard([])


def test_every_form_holds_every_method_and_a_missing_value_is_a_dash() -> None:
    found = leaderboard([of("a", verdict("wrapped")), of("mine.py:f|g", verdict("deleted", probing=0.1))])
    text = to_text(found)
    assert max(map(len, text.splitlines())) <= 120
    assert [row.split() for row in text.splitlines() if row.startswith("a ")] == [
        ["a", "1", "0", "1", "0", "0", "0", "–", "–"],
        ["a", "–"],  # a table that is too wide goes on below
        ["a", "0", "1", "0", "0"],
        ["a", "–", "–", "–", "–", "–"],
        ["a", "–", "(3", "missing)"],
    ]
    assert "| mine.py:f\\|g | 1 | 0 | 0 | 1 |" in to_markdown(found)
    assert [row["method"] for row in json.loads(to_json(found))["standings"]] == ["a", "mine.py:f|g"]
    assert to_text(leaderboard([run()])).startswith("methods at scale small")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(STATES)), max_size=6), st.randoms())
def test_counts_add_up_to_the_models_whatever_the_order(drawn: list[tuple[str, str]], rng: Any) -> None:
    runs = [
        of(method, *(verdict(state) for name, state in drawn if name == method))
        for method in dict.fromkeys(name for name, _ in drawn)
    ]
    if not runs:
        return
    found = leaderboard(runs)
    for row in found.standings:
        assert sum(row.verdicts.values()) == row.models == sum(name == row.method for name, _ in drawn)
    assert leaderboard(rng.sample(runs, len(runs))) == found


# ---- the command


def test_folders_of_runs_and_runs_can_be_given(tmp_path: Path, capsys: Captured) -> None:
    saved(tmp_path / "reports" / "one", of("a", verdict("intact")))
    saved(tmp_path / "reports" / "bad", of("a", verdict("intact"))).joinpath("results.json").write_text("")
    alone = saved(tmp_path / "alone", of("b", verdict("deleted")))
    ended = capbench(capsys, "leaderboard", str(tmp_path / "reports"), str(alone), "--format=json")
    assert (ended.code, ended.err.count("\n")) == (0, 1)
    assert ended.err.startswith("capbench: warning: bad is left out: ")
    assert [row["method"] for row in json.loads(ended.out)["standings"]] == ["a", "b"]


@pytest.mark.parametrize("what", ["nowhere", "empty", "empty/results.json"])
def test_what_holds_no_run_is_one_line(what: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    ended = capbench(capsys, "leaderboard", str(tmp_path / what))
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1) and what in ended.err
