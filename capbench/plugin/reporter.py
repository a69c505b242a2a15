"""The part of the pytest plugin that collects records, shows tables, writes the report and compares with the baseline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capbench.errors import UsageError
from capbench.plugin.items import no_test_runs
from capbench.plugin.places import asked_paths, possible_files

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession


class Reporter:
    """With pytest-xdist, the controller also receives the records of the workers' tests."""

    def __init__(self, config: pytest.Config, session: CapbenchSession) -> None:
        self._config, self._session = config, session
        self._run: pytest.Session | None = None
        self._repeated: set[str] = set()  # names of tests that were run again

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.outcome == "rerun":  # another attempt follows (pytest-rerunfailures)
            self._repeated.add(str(report.location[2]))
        elif (record := getattr(report, "capbench_record", None)) is not None:
            self._session.recorder.add(record, test=report.capbench_test, attempt=report.capbench_attempt)

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside the terminal's own hook, around that of junitxml
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """If the report folder vanished during the run, only junit.xml is lost; writing the report then says why."""
        self._run, result = session, None
        try:
            result = yield
            if self._repeated and self._junit.is_file():
                from capbench.report.junit import keep_last_attempts

                keep_last_attempts(self._junit, self._repeated)
        except OSError:
            if not self._session.options.report:
                raise
        if not self._config.pluginmanager.has_plugin("terminalreporter"):  # -p no:terminal
            self._conclude(_wrong_lines)
        return result

    @property
    def _junit(self) -> Path:
        return self._session.report_folder / "junit.xml"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        self._conclude(terminalreporter.write_line, terminalreporter.section)

    def _conclude(self, say: Callable[..., None], section: Callable[[str], None] = lambda title: None) -> None:
        """Show the results, write the report and compare with the baseline."""
        if hasattr(self._config, "workerinput"):  # with pytest-xdist, the controller reports
            return
        report = None if no_test_runs(self._config) else self._session.options.report
        baseline = None if no_test_runs(self._config) else self._session.baseline
        loggers = self._session.models.loggers
        if not self._session.recorder and not report and baseline is None and not loggers:
            return
        from capbench.report import capability_table, claim_table, claims_in_short, natural_table, variant_table, write

        results = self._session.results()
        section("capbench")
        if results.capabilities:
            say(f"{capability_table(results)}\n")
        if became := natural_table(results):
            say(f"{became}\n")
        say(claim_table(results) if getattr(self._config.option, "verbose", 0) > 0 else claims_in_short(results))
        if tried := variant_table(results):
            say(f"\n{tried}")
        for line in results.warnings:
            say(f"\nwarning: {line}", yellow=True)
        loggers.end(results, say=lambda line: say(f"\n{line}", yellow=True))
        if report:
            try:
                folder = write(results, Path(report))
                say(f"\nreport: {folder / 'report.html'}")
            except (UsageError, OSError) as error:
                why = (error.strerror if isinstance(error, OSError) else None) or error
                self._fail(say, f"the report could not be written to '{self._session.report_folder}': {why}")
        if baseline is not None:
            words, problem = baseline.conclude(
                results, complete=self._complete(), asked=self._asks_for, verdicts=self._session.studies.capabilities
            )
            say(f"\n{words}")
            if problem:
                self._fail(say, problem)

    def _fail(self, say: Callable[..., None], why: str) -> None:
        """Say why the run is no success though its tests are."""
        say(why, red=True)
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


def _wrong_lines(line: str, *, red: bool = False, yellow: bool = False) -> None:
    """What stands in for a terminal that the user does not want: only what is wrong is said."""
    if red or yellow:
        print(line, file=sys.stderr)
