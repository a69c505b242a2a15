"""`capbench compare`: two runs claim by claim and verdict by verdict, with an exit code for a regression."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from capbench.cli import output
from capbench.session.options.given import Given, declare

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
    declare(parser.add_argument, "compare")
    parser.set_defaults(run=_compare)


def _compare(namespace: argparse.Namespace) -> int:
    from capbench.compare.gate import sentence
    from capbench.compare.runs import compare
    from capbench.compare.show import FORMATS
    from capbench.report import load

    options = Given.read("compare", namespace).checked()
    form, gate = output.chosen(FORMATS, options["format"]), options["fail-on"]
    a, b = load(Path(namespace.a)), load(Path(namespace.b))
    found = compare(a, b)
    failed = gate.found(found)
    if options["html"] is not None:
        from capbench.compare.page import to_page

        output.write("--html", options["html"], to_page(found, failed, (a, b)))
    output.give(form(found, failed, every=options["all"]), options["output"])
    if failed:
        print(sentence(failed, gate), file=sys.stderr)
    return 1 if failed else 0
