"""`capbench list`: the runs in a report directory, newest first."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "list",
        allow_abbrev=False,
        help="list the runs in a report directory",
        description="List the runs in a report directory, newest first, with the number of claims by status.",
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", default="reports", help="default: reports")
    parser.set_defaults(run=_list)


def _list(given: argparse.Namespace) -> int:
    from tabulate import tabulate

    from capbench.compare.folders import entries, listing
    from capbench.report.words import line

    found = entries(Path(given.directory))
    if not found:
        print(f"no runs in '{given.directory}'")
        return 0
    head, rows = listing(found)
    if rows:
        shown = [[line(cell) for cell in row] for row in rows]
        print(tabulate(shown, headers=head, tablefmt="simple", disable_numparse=True))
    for item in found:
        if item.run is None:
            print(f"{line(item.name)}: {line(item.problem)}")
    return 0
