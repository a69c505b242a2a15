"""The part of the pytest plugin that collects records, shows tables, writes the report and compares with the baseline."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capbench.errors import UsageError
from capbench.plugin.places import asked_paths, possible_files

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession


class Reporter:
    """With pytest-xdist, the controller also receives the records of the workers' tests."""

    def __init__(self, config: pytest.Config, session: CapbenchSession) -> None:
        self._config, self._session = config, session
        self._run: pytest.Session | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record = getattr(report, "capbench_record", None)
        if record is not None:
            self._session.recorder.add(record)

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside the terminal's own hook, around that of junitxml
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """If the report folder vanished during the run, only junit.xml is lost; writing the report then says why."""
        self._run = session
        try:
            return (yield)
        except OSError:
            if not self._session.options.report:
                raise
            return None

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if hasattr(self._config, "workerinput"):  # with pytest-xdist, the controller reports
            return
        report = None if self._config.option.collectonly else self._session.options.report
        baseline = None if self._config.option.collectonly else self._session.baseline
        if not self._session.recorder and not report and baseline is None:
            return
        from capbench.report import capability_table, claim_table, variant_table, write

        results = self._session.results()
        terminalreporter.section("capbench")
        terminalreporter.write_line(claim_table(results))
        if tried := variant_table(results):
            terminalreporter.write_line(f"\n{tried}")
        if results.capabilities:
            terminalreporter.write_line("")
            terminalreporter.write_line(capability_table(results))
        for line in results.warnings:
            terminalreporter.write_line(f"\nwarning: {line}", yellow=True)
        if report:
            try:
                folder = write(results, Path(report))
                terminalreporter.write_line(f"\nreport: {folder / 'report.html'}")
            except (UsageError, OSError) as error:
                why = (error.strerror if isinstance(error, OSError) else None) or error
                line = f"the report could not be written to '{self._session.report_folder}': {why}"
                self._fail(terminalreporter, line)
        if baseline is not None:
            words, problem = baseline.conclude(
                results, complete=self._complete(), asked=self._asks_for, verdicts=self._session.studies.capabilities
            )
            terminalreporter.write_line(f"\n{words}")
            if problem:
                self._fail(terminalreporter, problem)

    def _fail(self, terminalreporter: Any, why: str) -> None:
        """Say why the run is no success though its tests are."""
        terminalreporter.write_line(why, red=True)
        if self._run is not None and self._run.exitstatus == pytest.ExitCode.OK:
            self._run.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _complete(self) -> bool:
        """Whether all selected tests were run."""
        ends = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        run = self._run
        return run is not None and run.exitstatus in ends and not run.shouldstop and not run.shouldfail

    def _asks_for(self, nodeid: str) -> bool:
        """Whether this command line includes a test of an earlier run: it names the file or its folder, with no -k, -m, …"""
        narrowing = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise")
        if any(getattr(self._config.option, name, None) for name in narrowing):
            return False
        given = asked_paths(self._config)
        return any(file.is_relative_to(path) for file in possible_files(self._config, nodeid) for path in given)
