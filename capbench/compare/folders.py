"""Runs in a report directory: found, read, and listed newest first; what cannot be read is listed with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from capbench.errors import UsageError
from capbench.report.write import load
from capbench.results import Results, Status

FILE, BASELINES = "results.json", "baseline"
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One folder: its name below the directory that was given, and its run, or why it has none."""

    name: str
    run: Results | None
    problem: str = ""


def entries(directory: Path) -> list[Entry]:
    """The runs in a folder and in folders one level below it, newest first, broken ones last; without kept baselines.

    A folder that is itself a run is the only entry. UsageError if it is not a folder.
    """
    if (directory / FILE).is_file():
        return [entry(directory, directory.name)]
    try:
        folders = [p for p in sorted(directory.iterdir()) if p.is_dir() and p.name != BASELINES and p.name[0] != "."]
        found = [item for folder in folders for item in _below(folder)]
    except OSError as error:
        raise UsageError(
            f"'{directory}' cannot be listed ({error.strerror or error}); give a directory of runs, such as reports/"
        ) from None
    return sorted(found, key=lambda item: started(item.run), reverse=True)


def entry(folder: Path, name: str) -> Entry:
    """A run, or why it cannot be read."""
    try:
        return Entry(name=name, run=load(folder))
    except UsageError as error:
        return Entry(name=name, run=None, problem=str(error))


def started(run: Results | None) -> datetime:
    """When a run began; the beginning of time if that cannot be read."""
    try:
        found = datetime.fromisoformat(run.run.start) if run else NEVER
    except (TypeError, ValueError):
        return NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def listing(found: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Head and text cells of the table of runs."""
    head = ["run", "started", "scale", "seeds", "methods", *map(str, Status)]
    rows = []
    for item in found:
        if item.run is None:
            continue
        run = item.run.run
        ends = Counter(record.verdict.status for record in item.run.records)
        facts = [item.name, run.start, run.scale, str(len(run.seeds)), ", ".join(run.methods)]
        rows.append([*facts, *(str(ends[status]) for status in Status)])
    return head, rows


def _below(folder: Path) -> list[Entry]:
    if (folder / FILE).is_file():
        return [entry(folder, folder.name)]
    inner = [p for p in sorted(folder.iterdir()) if (p / FILE).is_file()]
    if inner:
        return [entry(p, f"{folder.name}/{p.name}") for p in inner]
    if any(folder.glob("*.json")):
        return []  # results of another command, such as `capbench fidelity`
    return [Entry(name=folder.name, run=None, problem=f"it has no {FILE}: the run is still going or was stopped")]
