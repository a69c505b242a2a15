"""`capbench compare`, `list` and `show`: formats, files, exit codes, and one line for everything that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runs import run as capbench
from report_example import example
from runs_example import claim, healthy, planted, run, saved

from capbench.results import to_json

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two runs, `a` and `b`, and a working directory of their own."""
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a", healthy(run_id="one"))
    saved(tmp_path / "b", planted(run_id="two"))
    return tmp_path


# ---- compare


def test_a_run_and_itself_exit_with_0(capsys: Captured) -> None:
    ended = capbench(capsys, "compare", "a", "a/results.json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "no difference: 2 claims (2 unchanged); 1 capability verdict (1 unchanged)"


def test_a_regression_exits_with_1_and_a_last_line_that_names_it(capsys: Captured) -> None:
    ended = capbench(capsys, "compare", "a", "b")
    assert ended.code == 1 and "supported → refuted" in ended.out
    assert ended.err == (
        "regression (fail on verdict): revival.efficiency supported → refuted; "
        "counter[prior=low,c_tr=1.0,lr=medium] wrapped → deleted\n"
    )


@pytest.mark.parametrize(
    ("forms", "code"),
    [(["none"], 0), (["status"], 1), (["margin:-9"], 0), (["margin:-0.05"], 1), (["margin:-9", "verdict"], 1)],
)
def test_what_fails_can_be_chosen(forms: list[str], code: int, capsys: Captured) -> None:
    options = [word for form in forms for word in ("--fail-on", form)]
    ended = capbench(capsys, "compare", "a", "b", *options)
    assert ended.code == code and bool(ended.err) is bool(code)


def test_json_is_whole_and_clean_even_with_a_regression(capsys: Captured) -> None:
    found = json.loads(capbench(capsys, "compare", "a", "b", "--format", "json").out)
    assert (found["a"]["run_id"], found["b"]["run_id"]) == ("one", "two")
    assert [row["outcome"] for row in found["claims"]] == ["unchanged", "worse"]
    assert found["claims"][1]["differences"] == pytest.approx([-5.1, -6.5, -5.3])
    assert len(found["regression"]) == 2 and found["verdicts"][0]["verdict_b"] == "deleted"


def test_it_goes_to_a_file_if_asked(folder: Path, capsys: Captured) -> None:
    ended = capbench(capsys, "compare", "a", "b", "--format=markdown", "--output=out.md")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("capbench: wrote out.md\nregression")
    page = (folder / "out.md").read_text()
    assert page.startswith("# capbench: comparison at scale small") and "| supported → refuted |" in page


def test_all_shows_what_did_not_change(capsys: Captured) -> None:
    assert "relevance.shortcut" not in capbench(capsys, "compare", "a", "b").out
    assert "relevance.shortcut" in capbench(capsys, "compare", "a", "b", "--all").out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["a"], ["required", "B"]),
        (["a", "nowhere"], ["nowhere", "give a run directory or its results.json"]),
        (["a", "empty"], ["empty/results.json", "give a run directory"]),
        (["damaged", "b"], ["damaged", "another schema"]),
        (["newer", "b"], ["newer", "schema 99", "reads schemas 1 to"]),
        (["a", "paper"], ["scale small", "scale paper", "never compared"]),
        (["a", "b", "--fail-on=worse"], ["--fail-on=worse", "margin:-0.05"]),
        (["a", "b", "--format=xml"], ["--format=xml", "text, markdown, json"]),
        (["a", "b", "--output=a"], ["--output=a", "give a file"]),
        (["a", "b", "--output=nowhere/x"], ["--output=nowhere/x", "give a file"]),
    ],
)
def test_mistakes_are_one_line_and_2(arguments: list[str], parts: list[str], folder: Path, capsys: Captured) -> None:
    (folder / "empty").mkdir()
    (folder / "damaged").mkdir()
    (folder / "damaged" / "results.json").write_text(to_json(healthy())[:500])
    (folder / "newer").mkdir()
    (folder / "newer" / "results.json").write_text('{"schema": 99}')
    saved(folder / "paper", healthy(scale="paper"))
    ended = capbench(capsys, "compare", *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith("capbench: error: ")
    assert [part for part in parts if part not in ended.err] == []


# ---- list and show


def test_runs_are_listed_newest_first_and_broken_ones_with_their_reason(folder: Path, capsys: Captured) -> None:
    reports = folder / "reports"
    saved(reports / "old", run(claim("a.b", (1.0, 1.0)), start="2025-01-01T00:00:00+00:00"))
    saved(
        reports / "new",
        run(claim("a.b", (0.10, 0.11, 0.12)), start="2025-03-01T00:00:00Z", methods=("full", "mine.py:f")),
    )
    saved(reports / "kept" / "middle", run(claim("a.b", (0.0, 1.0)), start="2025-02-01T00:00:00+00:00"))
    saved(reports / "odd", run(start="once"))
    saved(reports / "baseline" / "small-full", healthy())  # a copy, not a run
    saved(reports / "broken", healthy()).joinpath("results.json").write_text("{")
    (reports / "stopped").mkdir()
    (reports / "README.md").write_text("no run")
    ended = capbench(capsys, "list")
    rows = [line.split() for line in ended.out.splitlines()]
    assert (ended.code, [row[0] for row in rows[2:]]) == (
        0, ["new", "kept/middle", "old", "odd", "broken:", "stopped:"],
    )  # fmt: skip
    assert rows[2] == ["new", "2025-03-01T00:00:00Z", "small", "3", "full,", "mine.py:f", "0", "1", "0", "0"]
    assert "damaged or of another schema" in ended.out and "has no results.json" in ended.out


def test_a_folder_without_runs_and_one_that_is_not_there(folder: Path, capsys: Captured) -> None:
    (folder / "empty").mkdir()
    assert capbench(capsys, "list", "empty").out == "no runs in 'empty'\n"
    ended = capbench(capsys, "list", "nowhere")
    assert ended.code == 2 and "'nowhere' cannot be listed" in ended.err and ended.err.count("\n") == 1


def test_a_run_folder_lists_itself(capsys: Captured) -> None:
    assert "supported" in capbench(capsys, "list", "a").out


def test_a_run_is_shown_again(folder: Path, capsys: Captured) -> None:
    saved(folder / "whole", example())
    ended = capbench(capsys, "show", "whole")
    assert ended.code == 0
    for part in ("8 of 11 claims supported", "claims at scale small", "capabilities at scale small", "wrapper.probing"):
        assert part in ended.out
    ended = capbench(capsys, "show", "nowhere")
    assert ended.code == 2 and ended.err.count("\n") == 1
