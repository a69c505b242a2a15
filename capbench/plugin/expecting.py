"""The part of the pytest plugin that compares a run with the user's expectations, at collection and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from capbench.plugin.architectures import case_of

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession


class Expecting:
    """Registered if there are expectations. Each claim is compared with them when its test ends, in outcome.py."""

    def __init__(self, config: pytest.Config, session: CapbenchSession) -> None:
        self._config, self._session, self._watch = config, session, session.watch
        self._failures: list[str] = []

    @pytest.hookimpl(tryfirst=True)  # before tests are deselected: a pattern may match one of those
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            marker = item.get_closest_marker("claim")
            if marker is not None and marker.args and "judge" in getattr(item, "fixturenames", ()):
                case = case_of(item)
                claim, study = str(marker.args[0]), str(marker.kwargs.get("study", "pcfg-counter"))
                self._watch.collected(
                    f"{claim}[{case}]" if str(case or "") else claim, self._session.studies.subject(study, case)
                )

    @pytest.hookimpl(optionalhook=True)  # pytest-xdist: a worker has ended
    def pytest_testnodedown(self, node: Any) -> None:
        seen = getattr(node, "workeroutput", {}).get("capbench_collected")
        if seen:
            self._watch.heard(seen)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Capability verdicts need all tests, so they are checked here, where the exit status can still change."""
        if hasattr(self._config, "workerinput"):
            self._config.workeroutput["capbench_collected"] = self._watch.seen()  # type: ignore[attr-defined]
            return
        if not self._session.recorder:
            return
        results = self._session.results()
        self._failures = self._watch.failures(results.records, results.capabilities)
        if self._failures and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Report patterns that match nothing as plain lines: a Python warning would fail a run under -W error."""
        warnings = [] if any("::" in argument for argument in self._config.args) else self._watch.warnings()
        if hasattr(self._config, "workerinput") or not (self._failures or warnings):
            return
        terminalreporter.section("capbench expectations")
        for line in self._failures:
            terminalreporter.write_line(f"FAILED {line}", red=True)
        for line in warnings:
            terminalreporter.write_line(f"warning: {line}", yellow=True)
