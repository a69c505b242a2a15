"""Collect tests in this process, for `capbench` commands that need the tests' models but run no test."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from capbench.errors import CapbenchError, NoTestsError, UsageError
from capbench.plugin.keys import SESSION
from capbench.plugin.models import needing_models
from capbench.plugin.options import COLLECTOR
from capbench.session.options.given import Given

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession, Collected

# No test runs, so pytest need not rewrite assertions or wait for garbage collection.
_QUIET = ("--collect-only", "--assert=plain", "-p", "no:unraisableexception", "-qq", "--no-header", "--no-summary")


def collect(arguments: Sequence[str], given: Given) -> tuple[CapbenchSession, Collected]:
    """The session and the tests that pytest collects with these arguments (files, folders, -k …).

    given: the command's options, used in place of pytest's. As in a pytest run, the configuration file is read, conftest files
    are loaded and their hooks called. What suites print is not shown.

    Raises UsageError for an invalid option, file or folder, NoTestsError if nothing was collected, and CapbenchError, with
    pytest's messages, if a file could not be collected.
    """
    collector = _Collector(given)
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = pytest.main([*_QUIET, *arguments], plugins=[collector])
    if collector.interrupted:
        raise KeyboardInterrupt
    if code == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(errors.getvalue().strip().removeprefix("ERROR: "))
    if collector.found is None or code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        account = "\n".join(collector.failures) or f"{output.getvalue()}{errors.getvalue()}".strip()
        raise CapbenchError(f"the tests could not be collected; nothing was done:\n{account}")
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise NoTestsError("no test was collected; name other tests")
    sys.path[:] = (
        collector.path
    )  # pytest removes `pythonpath` when it ends; methods and needs may still import from there
    return collector.found


class _Collector:
    """A pytest plugin that passes the command's options to capbench's plugin and keeps what was collected."""

    __name__ = COLLECTOR  # pluggy's name for it

    def __init__(self, given: Given) -> None:
        self.given = given
        self.found: tuple[CapbenchSession, Collected] | None = None
        self.failures: list[str] = []
        self.interrupted = False
        self.path: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        if not config.pluginmanager.hasplugin("capbench"):
            raise pytest.UsageError("pytest was told not to load capbench ('-p no:capbench' in addopts?); remove that")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failures.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.found = session.config.stash[SESSION], needing_models(session.items)
        self.path = list(sys.path)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupted = excinfo.type is KeyboardInterrupt  # not Session.Interrupted, which derives from it
