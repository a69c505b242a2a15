"""The records of a run's tests, and the facts about the run."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from capbench import __version__
from capbench.results import Record, RunInfo, record_from_dict


class Recorder:
    """Collects the records of a run as its tests end, including those of pytest-xdist workers."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[int, Mapping[str, Any]]] = {}  # by test: the attempt, and its record

    def __len__(self) -> int:
        return len(self._given)

    def add(self, record: Mapping[str, Any], *, test: str, attempt: int = 0) -> None:
        """Add the record of one test, given as plain data; of several attempts at a test the last one counts."""
        if test not in self._given or self._given[test][0] <= attempt:
            self._given[test] = attempt, record

    def records(self) -> tuple[Record, ...]:
        """Sorted by test, not by arrival, so that a run's file does not depend on how its tests were distributed."""
        given = [record for _, record in self._given.values()]
        return tuple(record_from_dict(r) for r in sorted(given, key=lambda r: str(r["nodeid"])))


def run_info(
    *,
    run_id: str,
    device: str,
    jobs: int,
    scale: str,
    seeds: tuple[int, ...],
    methods: tuple[str, ...],
    command: str,
    started: float,
    seconds: float,
    task: Mapping[str, Any] | None = None,
) -> RunInfo:
    """The facts about a run that began at `started` (seconds since 1970) and took so many seconds. task: as in RunInfo."""
    return RunInfo(
        run_id=run_id,
        capbench=__version__,
        git_commit=_git_commit(),
        python=platform.python_version(),
        torch=metadata.version("torch"),
        device=device,
        threads=jobs,
        scale=scale,
        seeds=seeds,
        methods=methods,
        command=command,
        start=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 1),
        task=task,
    )


def _git_commit() -> str | None:
    """The commit of the working directory; None if it is not a checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
