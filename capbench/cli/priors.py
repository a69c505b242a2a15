"""`capbench priors`: fit the priors of the spread between seeds to reference runs."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from capbench.cli import output
from capbench.errors import UsageError
from capbench.session.options.given import Given, declare


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "priors",
        allow_abbrev=False,
        help="fit the priors of the spread between seeds to reference runs",
        description="Fit a prior of the variance between seeds to each kind of quantity that the runs hold, by scale. With "
        "--output it replaces capbench/verdicts/priors.json, which intervals are made with.",
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="run folders or results.json files, of at least two seeds"
    )
    declare(parser.add_argument, "priors")
    parser.set_defaults(run=_priors)


def _priors(namespace: argparse.Namespace) -> int:
    from capbench.report import load
    from capbench.verdicts import fitting

    options = Given.read("priors", namespace).checked()
    found = fitting.fit(fitting.conditions(load(Path(name)) for name in namespace.runs))
    if not found:
        raise UsageError(
            f"no quantity of {', '.join(namespace.runs)} was measured on two seeds in {fitting.FEWEST} conditions or more; "
            "give runs of several seeds"
        )
    command = f"capbench priors {shlex.join(Path(name).as_posix() for name in namespace.runs)}"
    output.give(fitting.to_json(found, command), options["output"])
    return 0
