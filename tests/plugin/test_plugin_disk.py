"""A disk that becomes full while the claims are judged: one line each, and no exit code that says that all is well."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from tiny_suite import lines_with, run, told, write_suite

TESTS = """
from pathlib import Path

@about_base("disk.before")
def test_before(judge):
    judge.measure((values, ["base"]))
    judge.decide(at_least(judge["one"], 0.5, "the one"))

@about_base("disk.after")
def test_after(judge):
    Path("full").touch()
    judge.measure((weights, ["base"]))
"""


@pytest.fixture(autouse=True)
def disk(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full as soon as there is a file `full`."""
    write_suite(pytester, TESTS)
    write = Path.write_bytes

    def write_bytes(self: Path, data: bytes) -> int:
        if Path("full").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


def test_a_reading_or_a_report_that_finds_no_room_is_told_in_one_line_and_the_run_is_no_success(
    pytester: pytest.Pytester,
) -> None:
    first = run(pytester, "--capbench-report=reports")
    first.assert_outcomes(passed=1, errors=1)
    assert all("invalid: cannot save artefact" in line for line in told(first, "disk.after"))
    assert told(first, "disk.after") and not lines_with(first, "CapbenchError")  # no traceback
    again = run(pytester, "--capbench-report=reports", "--capbench-baseline=auto", "-k", "disk.before")
    again.assert_outcomes(passed=1)
    assert lines_with(again, "baseline: this run could not be kept in 'reports/", ": No space left on device")
    for result in (first, again):
        (line,) = lines_with(result, "the report could not be written to 'reports/")
        assert line.endswith("No space left on device") and result.ret == pytest.ExitCode.TESTS_FAILED
