"""The report: writing all files of a run of eleven claims, and reading its results back."""

from __future__ import annotations

import pytest
from report_example import example  # tests/ is on the path
from speed.rounds import OWN, compared, scaled
from speed.rows import keep, row

from capbench.report import load, write


@pytest.fixture
def results():
    return example()


def test_write(benchmark, results, tmp_path):
    """results.json, results.csv, summary.md and report.html, with its figures."""
    found = compared(benchmark, lambda: write(results, tmp_path), {}, rounds=5)
    keep(benchmark, row("report", f"write, {len(results.records)} claims", found[OWN], "s"))


def test_load(benchmark, results, tmp_path):
    folder = write(results, tmp_path)
    found = compared(benchmark, lambda: load(folder), {}, rounds=9)
    keep(benchmark, row("report", f"load, {len(results.records)} claims", scaled(found[OWN], 1000), "ms"))
