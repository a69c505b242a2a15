"""Methods side by side: counts of verdicts, means of what was measured, the newest run of each."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from cli_runs import run as capbench
from hypothesis import given, settings
from hypothesis import strategies as st
from runs_example import STATES, claim, healthy, run, saved, verdict

from capbench.compare.leaderboard import leaderboard, to_json, to_markdown, to_text
from capbench.errors import UsageError
from capbench.results import Capability, Measurement, Record, Results

Captured = pytest.CaptureFixture[str]


def of(method: str, *verdicts: Capability, records: tuple[Record, ...] = (), **info: Any) -> Results:
    """A run of one method, with these verdicts, each on a model of its own."""
    named = [
        dataclasses.replace(v, method=method, protocol={"prior": "low", "lr": str(i)}) for i, v in enumerate(verdicts)
    ]
    return run(*records, *named, run_id=f"run of {method}", methods=(method,), **info)


def cost(steps: float, tokens: float, seed: int, lr: str, name: str = "a.b") -> Record:
    found = (("finetuning.steps", steps), ("finetuning.tokens", tokens))
    return claim(
        name,
        (1.0, 1.0),
        protocol={"lr": lr},
        measurements=tuple(Measurement(name=n, value=v, unit="", n=0, seed=seed) for n, v in found),
    )


def test_verdicts_are_counted_and_measurements_averaged() -> None:
    verdicts = (
        verdict("wrapped", "shortcut", revival=6.0, probing=0.9, behaviour=0.0),
        verdict("wrapped", "learned", revival=4.0, behaviour=0.1),
        verdict("deleted", None, probing=0.1, behaviour=0.2),
    )
    (row,) = leaderboard([of("full", *verdicts, seconds=12.0)]).standings
    assert row.verdicts == {"intact": 0, "wrapped": 2, "deleted": 1, "destroyed": 0, "undecided": 0}
    assert row.finetuned == {"amplified": 0, "shortcut": 1, "learned": 1, "not learned": 0}
    assert (row.models, row.revival, row.retention, row.o_pt) == (3, 5.0, 0.5, pytest.approx(0.1))
    assert (row.steps, row.tokens, row.seconds) == (None, None, 12.0)


def test_a_model_that_several_tests_looked_at_costs_its_steps_once() -> None:
    records = (cost(100, 8000, 0, "small"), cost(100, 8000, 0, "small", "a.c"), cost(400, 2000, 0, "large"))
    (row,) = leaderboard([of("full", verdict("intact"), records=records)]).standings
    assert (row.steps, row.tokens) == (250, 5000)


def test_the_newest_run_of_a_method_wins_and_the_other_is_named() -> None:
    old = of("full", verdict("deleted"), start="2025-01-01T00:00:00+00:00")
    new = dataclasses.replace(of("full", verdict("intact"), start="2025-01-02T00:00:00Z"))
    new = dataclasses.replace(new, run=dataclasses.replace(new.run, run_id="newer"))
    for order in ([old, new], [new, old]):
        found = leaderboard(order)
        (row,) = found.standings
        assert (row.run_id, row.verdicts["intact"]) == ("newer", 1)
        assert found.notes == ("full: run run of full is omitted, as newer is newer",)


def test_the_same_run_given_twice_is_one_run() -> None:
    assert leaderboard([healthy(), healthy()]) == leaderboard([healthy()])


def test_several_methods_of_one_run_get_a_row_each() -> None:
    other = dataclasses.replace(verdict("deleted"), method="other")
    found = leaderboard([run(verdict("wrapped"), other)])
    assert [(s.method, s.verdicts["deleted"], s.models) for s in found.standings] == [("full", 0, 1), ("other", 1, 1)]


def test_methods_that_were_judged_on_other_models_or_seeds_are_noted() -> None:
    found = leaderboard([of("a", verdict("intact")), of("b", verdict("intact"), verdict("deleted"), seeds=(0,))])
    assert len(found.notes) == 2
    assert "not all methods were judged on the same models (1 are in all)" in found.notes[0]
    assert "seeds" in found.notes[1]
    assert leaderboard([of("a", verdict("intact")), of("b", verdict("deleted"))]).notes == ()


def test_scales_are_not_mixed() -> None:
    with pytest.raises(UsageError, match=r"paper: run of b; small: run of a"):
        leaderboard([of("a", verdict("intact")), of("b", verdict("intact"), scale="paper")])
    with pytest.raises(UsageError, match="no runs to show"):
        leaderboard([])


def test_every_form_holds_every_method_and_a_missing_value_is_a_dash() -> None:
    found = leaderboard([of("a", verdict("intact")), of("mine.py:f|g", verdict("deleted", probing=0.1))])
    text = to_text(found)
    assert max(map(len, text.splitlines())) <= 120
    assert [row.split() for row in text.splitlines() if row.startswith("a ")] == [
        ["a", "1", "1", "0", "0", "0", "0"],
        ["a", "0", "1", "0", "0"],
        ["a", "–", "–", "–", "–", "–", "4987"],
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
