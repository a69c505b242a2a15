"""`capbench leaderboard`: methods side by side, from any number of runs of one scale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.cli import output
from capbench.errors import UsageError
from capbench.session.options.given import Given, declare

if TYPE_CHECKING:
    from capbench.results import Results


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "leaderboard",
        allow_abbrev=False,
        help="put the methods of several runs side by side",
        description="One row per method: what it did to the capabilities, and what the tools measured, from its newest run.",
    )
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, results.json files or directories of runs")
    declare(parser.add_argument, "leaderboard")
    parser.set_defaults(run=_leaderboard)


def _leaderboard(namespace: argparse.Namespace) -> int:
    from capbench.compare.leaderboard.build import leaderboard
    from capbench.compare.leaderboard.show import FORMATS

    options = Given.read("leaderboard", namespace).checked()
    form = output.chosen(FORMATS, options["format"])
    runs = [run for name in namespace.runs for run in _runs(Path(name))]
    found = leaderboard(runs)
    if options["html"] is not None:
        from capbench.compare.leaderboard.page import to_page

        output.write("--html", options["html"], to_page(found))
    output.give(form(found), options["output"])
    return 0


def _runs(path: Path) -> list[Results]:
    """The run that was named, or those in a directory: there a broken one is told and left out."""
    from capbench.compare.folders import FILE, entries
    from capbench.report import load

    if not path.is_dir() or (path / FILE).is_file():
        return [load(path)]
    found = entries(path)
    for item in found:
        if item.run is None:
            print(f"capbench: warning: {item.name} is left out: {item.problem}", file=sys.stderr)
    runs = [item.run for item in found if item.run is not None]
    if not runs:
        raise UsageError(f"no runs in '{path}'; give a run folder or a directory of runs")
    return runs
