"""Collecting tests in this process, for the `capbench` commands that need the models of tests and run none."""

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

# No test runs: assertions are left as they are, and pytest does not wait for what would be collected as garbage.
_QUIET = ("--collect-only", "--assert=plain", "-p", "no:unraisableexception", "-qq", "--no-header", "--no-summary")


def collect(arguments: Sequence[str], given: Given) -> tuple[CapbenchSession, Collected]:
    """The session and the collected tests of pytest with these arguments, as files, folders and -k.

    given: the command's options, which take the place of pytest's. Like pytest, it reads the configuration file, loads conftest
    files and asks their hooks. What suites print is not shown.

    Raises UsageError for an option, file or folder that cannot be; NoTestsError if nothing was collected; CapbenchError, with
    pytest's account, where a file could not be collected and pytest would run no test.
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
        raise CapbenchError(f"the tests could not be collected, so nothing was done:\n{account}")
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise NoTestsError("no test was collected; name other tests")
    sys.path[:] = (
        collector.path
    )  # pytest takes `pythonpath` back at its end; methods and needs may still import from there
    return collector.found


class _Collector:
    """A plugin of one collection: hands the command's options to ours, and keeps what was collected."""

    __name__ = COLLECTOR  # pluggy's name for it

    def __init__(self, given: Given) -> None:
        self.given = given
        self.found: tuple[CapbenchSession, Collected] | None = None
        self.failures: list[str] = []
        self.interrupted = False
        self.path: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failures.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.found = session.config.stash[SESSION], needing_models(session.items)
        self.path = list(sys.path)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        self.interrupted = excinfo.type is KeyboardInterrupt  # not Session.Interrupted, which derives from it
