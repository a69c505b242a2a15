"""The report: writing all files of a run of eleven claims and of one of a hundred and ten, and reading results back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_example import example  # tests/ is on the path
from speed.rounds import OWN, compared, scaled
from speed.rows import keep, row

from capbench.report import load, write

AIMS = {1: "<= 1.5", 10: "<= 6"}  # seconds, for so many times the example


def results(times: int):
    """The example, its claims and models so many times over, under names of their own."""
    found = example()
    records = tuple(
        replace(r, claim=f"{r.claim}-{i}" if i else r.claim, task=f"{r.task} {i}")
        for i in range(times)
        for r in found.records
    )
    models = tuple(replace(c, task=f"{c.task} {i}") for i in range(times) for c in found.capabilities)
    return replace(found, records=records, capabilities=models)


@pytest.mark.parametrize("times", AIMS)
def test_write(benchmark, times, tmp_path):
    """results.json, results.csv, summary.md, report.html with its figures, and their numbers."""
    run = results(times)
    found = compared(benchmark, lambda: write(run, tmp_path), {}, rounds=5)
    keep(benchmark, row("report", f"write, {len(run.records)} claims", found[OWN], "s", aim=AIMS[times]))


def test_load(benchmark, tmp_path):
    run = results(1)
    folder = write(run, tmp_path)
    found = compared(benchmark, lambda: load(folder), {}, rounds=9)
    keep(benchmark, row("report", f"load, {len(run.records)} claims", scaled(found[OWN], 1000), "ms"))
