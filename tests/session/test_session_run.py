"""One run: its report's folder and its time, whatever other runs and the clock do."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from capbench.session.run import CapbenchSession


def begun(reports: Path) -> CapbenchSession:
    given: dict[str, Any] = {
        "scale": "smoke",
        "seeds": 1,
        "auto": False,
        "methods": {},
        "report": str(reports),
        "task": None,
    }
    at_once: Any = SimpleNamespace(jobs=1)
    options: Any = SimpleNamespace(**given, device="cpu", command="pytest", at_once=at_once, expect=None)
    return CapbenchSession(options)


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)
    sessions = [begun(tmp_path) for _ in range(3)]
    assert len({session.report_folder for session in sessions}) == 1  # each saw that the name was free
    for session in sessions:
        session.prepare_report()
    assert {session.report_folder for session in sessions} == set(tmp_path.iterdir())
    assert len({session.results().run.run_id for session in sessions}) == 3


def test_a_clock_that_is_set_back_makes_no_run_end_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, now = begun(tmp_path), time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert 0 <= session.results().run.seconds < 60
