"""Files of a report: where they go, in which order they are written, and how results are read back."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from capbench.errors import UsageError
from capbench.reading import EncodingError, read_text
from capbench.report.data import figure_data
from capbench.report.words import in_order
from capbench.results import Record, Results, from_json, to_json
from capbench.store.files import write_whole

COLUMNS = (
    *("claim", "case", "method", "status", "effect", "ci_low", "ci_high", "threshold", "direction", "margin"),
    *("n_seeds", "per_seed", "source", "seconds", "reason", "scale"),
)


def check_directory(path: Path) -> None:
    """Create the report directory if it is missing and check that it can be written; UsageError where it cannot."""
    probe = path / f".capbench-{os.getpid()}.tmp"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"report directory '{path}' is a file or lies below one; give a directory") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"report directory '{path}' cannot be written ({why}); give a writable one") from None


def write(results: Results, directory: Path) -> Path:
    """Write results.json, results.csv, summary.md, report.html and figures/*.csv below directory/<run id>; return that folder.

    Each file appears whole or not at all. results.json comes first, so that a failure in the others loses no results.
    """
    from capbench.report.html import render
    from capbench.report.markdown import summary

    name = results.run.run_id
    if name in {"", ".", ".."} or Path(name).name != name:
        raise UsageError(f"run id {name!r} is not a folder name; it must be one path component")
    folder = directory / name
    check_directory(folder)
    write_whole(folder / "results.json", to_json(results))
    write_whole(folder / "results.csv", to_csv(results))
    write_whole(folder / "summary.md", summary(results))
    write_whole(folder / "report.html", render(results))
    for file, text in figure_data(results.records).items():
        (folder / file).parent.mkdir(exist_ok=True)
        write_whole(folder / file, text)
    return folder


def load(path: Path) -> Results:
    """Read a results.json, or the one in a run directory; UsageError says why it cannot be read."""
    file = path / "results.json" if path.is_dir() else path
    try:
        return from_json(read_text(file))
    except FileNotFoundError:
        raise UsageError(f"no results at '{file}'; give a run directory or its results.json") from None
    except OSError as error:
        raise UsageError(f"results '{file}' cannot be read ({error.strerror or error})") from None
    except EncodingError as error:
        raise UsageError(f"results '{file}' {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UsageError(f"results '{file}' are damaged or of another schema: {why}") from None


def to_csv(results: Results) -> str:
    """One row per record; a missing value is an empty cell, and in `per_seed` (joined by ';') an empty entry."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for record in in_order(results.records):
        table.writerow(_row(record, results.run.scale))
    return out.getvalue()


def _row(record: Record, scale: str) -> list[object]:
    verdict = record.verdict
    low, high = verdict.ci or (None, None)
    per_seed = ";".join("" if value is None else repr(value) for value in verdict.per_seed)
    return [
        *(record.claim, record.case, record.method, str(verdict.status), verdict.effect, low, high),
        *(verdict.threshold, verdict.direction, verdict.margin, verdict.n_seeds, per_seed),
        *(record.source, record.seconds, verdict.reason, scale),
    ]
