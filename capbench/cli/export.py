"""`capbench export`: base models and data for a training elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from capbench.cli import suites
from capbench.errors import CapbenchError, NoTestsError, UsageError
from capbench.session.options.given import Given


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = suites.add(
        commands,
        "export",
        "export",
        help="write base models and data to a folder, to fine-tune them elsewhere",
        description="Write the base models and the data that the suites' fine-tunings need to DIR. Fine-tune them elsewhere, put "
        "the weights into DIR/tuned/, check them with `capbench verify DIR` and judge them with "
        "`pytest suites/ --capbench-checkpoints=DIR`.",
        epilog=suites.EXIT_CODES.format("a base model could not be made"),
    )
    parser.add_argument("directory", metavar="DIR", help="a new folder")
    suites.add_paths(parser)
    parser.set_defaults(run=_export)


def _export(namespace: argparse.Namespace) -> int:
    from capbench.checkpoints.export import check_folder

    given, folder = Given.read("export", namespace), Path(namespace.directory)
    check_folder(folder)
    data = given.checked()["streams"]
    run, tests = suites.collected(namespace, given)
    from capbench.session.export import export_for

    try:
        export_for(run, tests, folder, data=data, say=suites.say)
    except (UsageError, NoTestsError):
        raise
    except CapbenchError as error:
        raise CapbenchError(f"nothing was exported: {error}") from error
    return 0
