"""`capbench show`: the tables of a run, once more."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "show",
        allow_abbrev=False,
        help="show the capability verdicts and claims of a run",
        description="Show the capability verdicts and claims of a run as the end of pytest's output does.",
    )
    parser.add_argument("of", metavar="RUN", help="a run folder or its results.json")
    parser.set_defaults(run=_show)


def _show(given: argparse.Namespace) -> int:
    from capbench.report import capability_table, claim_table, load, natural_table, variant_table
    from capbench.report.words import answer, line

    run = load(Path(given.of))
    heading = f"{line(run.run.run_id)}, {line(run.run.start)}: {answer(run)}"
    verdicts = capability_table(run) if run.capabilities else ""
    print("\n\n".join(filter(None, [heading, verdicts, natural_table(run), claim_table(run), variant_table(run)])))
    return 0
