"""`capbench compare`: two runs claim by claim and verdict by verdict, with an exit code for a regression."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from capbench.cli import output

EXIT_CODES = "exit code: 0 no regression; 1 what --fail-on names happened; 2 a mistake on the command line"


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "compare",
        allow_abbrev=False,
        help="compare two runs: what became better, worse or different",
        description="Compare run B with run A, the older one: claims by their names, effects seed by seed.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("a", metavar="A", help="a run folder or its results.json: the one to compare with")
    parser.add_argument("b", metavar="B", help="the run folder or results.json to look at")
    parser.add_argument("--all", action="store_true", help="show rows that did not change, too (json always does)")
    parser.add_argument(
        "--fail-on",
        metavar="WHAT",
        action="append",
        help="verdict (default): a capability verdict or fine-tuned state changed, or a claim's status got worse; status: only "
        "the latter; margin:-0.05: a claim's margin fell by more than that; none. Repeatable",
    )
    output.add(parser)
    parser.set_defaults(run=_compare)


def _compare(given: argparse.Namespace) -> int:
    from capbench.compare.gate import Gate, sentence
    from capbench.compare.runs import compare
    from capbench.compare.show import FORMATS
    from capbench.report import load

    form = output.chosen(FORMATS, given.format)
    gate = Gate.parse("--fail-on", given.fail_on)
    found = compare(load(Path(given.a)), load(Path(given.b)))
    failed = gate.found(found)
    output.give(form(found, failed, every=given.all), given.output)
    if failed:
        print(sentence(failed, gate), file=sys.stderr)
    return 1 if failed else 0
