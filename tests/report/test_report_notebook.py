"""A run in a notebook: tables that pandas takes, figures of matplotlib, and what a notebook shows."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from report_example import example, mapped, measured, record, results

import capbench
from capbench.errors import UsageError
from capbench.report.notebook import Report
from capbench.report.rows import Rows


@pytest.fixture(scope="module")
def report(reported: Path) -> Report:
    return capbench.load(reported)


def test_a_run_is_read_by_its_folder_or_file_and_says_what_the_method_did(reported: Path, report: Report) -> None:
    assert capbench.load(str(reported / "results.json")).results == report.results == example()
    assert "hid the old capability" in repr(report)
    assert "hid the old capability" in report._repr_html_() and "<table>" in report._repr_html_()


def test_a_claim_is_a_row_with_its_verdict_and_its_protocol(report: Report) -> None:
    row = next(row for row in report.records if row["id"] == "relevance.amplification[prior=high,c_tr=1,lr=medium]")
    assert (row["status"], row["effect"], row["threshold"]) == ("refuted", pytest.approx(0.56), 0.8)
    assert (row["prior"], row["c_tr"], row["lr"]) == ("high", "1", "medium")
    assert len(report.records) == 11 and {tuple(row) for row in report.records} == {report.records.columns}


def test_models_tools_numbers_and_curves_are_tables_too(report: Report) -> None:
    run = report.results
    assert [row["verdict"] for row in report.capabilities] == [c.verdict for c in run.capabilities]
    assert len(report.evidence) == sum(len(e.per_seed) for c in run.capabilities for e in c.evidence)
    all_of_them = [m for r in run.records for m in r.measurements]
    assert len(report.measurements) == sum(m.is_number for m in all_of_them)
    assert len(report.curves) == sum(len(m.curve.x) for m in all_of_them if m.curve is not None)
    assert {"group", "series", "seed", "x", "y"} <= set(report.curves.columns)


def test_what_is_missing_is_none_and_never_zero() -> None:
    rows = Rows([{"a": 1.0}, {"a": None, "b": 2}])
    assert rows == [{"a": 1.0, "b": None}, {"a": None, "b": 2}] and rows.columns == ("a", "b")
    assert "<td>–</td>" in rows._repr_html_()
    assert Rows().columns == () and "<table>" in Rows()._repr_html_()


def test_markup_in_a_name_is_text_in_a_notebook() -> None:
    assert "<b>" not in Rows([{"<b>": "<b>"}] * 40)._repr_html_()
    assert "10 more rows" in Rows([{"a": 1}] * 40)._repr_html_()


def test_pandas_gets_the_rows_and_columns(monkeypatch: pytest.MonkeyPatch, report: Report) -> None:
    """Without pandas one line says what to install. Where it is there, the frame itself is looked at."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        report.records.to_pandas()
    asked: dict[str, Any] = {}
    monkeypatch.setitem(
        sys.modules, "pandas", types.SimpleNamespace(DataFrame=lambda rows, **more: asked.update(more, rows=rows))
    )
    report.records.to_pandas()
    assert asked == {"rows": list(report.records), "columns": list(report.records.columns)}


def test_real_pandas_makes_a_frame_of_them(report: Report) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = report.records.to_pandas()
    assert frame.groupby("status").size()["supported"] == 8


def test_a_figure_is_matplotlibs_and_its_revivals_have_log_steps(report: Report) -> None:
    assert "revival" in report.figures and "attention" in report.figures
    drawn = report.figure("revival")
    assert {axes.get_xscale() for axes in drawn.axes} == {"symlog"}
    labels = [text.get_text().strip() for text in drawn.legends[0].get_texts()]
    assert set(labels) == {row["series"] for row in report.curves if row["group"] == "revival"}


def test_maps_are_drawn_row_by_row() -> None:
    report = Report(results(record(measurements=(mapped([[1.0, 0.5]], group="attention"),))))
    assert report.figures == ("attention",) and report.figure("attention").axes
    with pytest.raises(UsageError, match="no row 1; it has rows 0 to 0"):
        report.figure("attention", row=1)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (results(record()), "no figure 'loss'; it has none"),
        (
            results(record(measurements=(measured([0, 1], [0.5, 1], 0, group="revival"),))),
            "no figure 'loss'; it has revival",
        ),
    ],
)
def test_a_figure_that_is_not_there_is_refused_in_one_line(run: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Report(run).figure("loss")


def test_a_folder_without_a_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no results at .*give a run directory"):
        capbench.load(tmp_path)
