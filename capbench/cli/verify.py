"""`capbench verify`: is a folder that was exported, and filled elsewhere, ready to be judged?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from capbench.errors import UsageError
from capbench.session.options.given import declare

EXIT_CODES = "exit code: 0 ready to be judged; 1 something is missing or wrong; 2 a mistake on the command line"


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "verify",
        allow_abbrev=False,
        help="check a folder of `capbench export` before its tuned weights are judged",
        description="Check the manifest, the exported files (by SHA-256) and every file of tuned weights: present, with the base "
        "model's names, shapes and dtypes, finite, trained at all, and not the same under two entries.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("directory", metavar="DIR", help="the exported folder")
    declare(parser.add_argument, "verify")
    parser.set_defaults(run=_verify)


def _verify(given: argparse.Namespace) -> int:
    from tabulate import tabulate

    folder = Path(given.directory)
    if not folder.is_dir():
        raise UsageError(f"there is no folder '{folder}'; give one that `capbench export DIR` made")
    from capbench.checkpoints.verify import verify  # imports torch: a mistake above should not wait for it

    try:
        findings = verify(folder)
    except UsageError as error:
        print(f"WRONG  {error}")
        return 1
    # Exported files that are as they were would hide the others.
    shown = [f for f in findings if f.mark != "ok" or f.tuned]
    intact = len(findings) - len(shown)
    print(tabulate([(f.mark, f.file, f.message) for f in shown], tablefmt="plain", disable_numparse=True))
    wrong, missing = (sum(f.mark == mark for f in shown) for mark in ("WRONG", "not yet"))
    print(
        f"{folder}: {intact} exported files intact, {len(shown) - wrong - missing} tuned, {missing} not yet, {wrong} wrong"
    )
    return 1 if wrong or (missing and not given.partial) else 0
