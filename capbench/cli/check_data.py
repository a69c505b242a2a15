"""`capbench check-data`: what is in a folder of stories, and is it enough?"""

from __future__ import annotations

import argparse
from typing import Any

from capbench.session.options.given import Given, declare
from capbench.session.options.takers import CHECK_DATA

EXIT_CODES = (
    "exit code: 0 nothing wrong (notes are not); 1 a check failed; 2 a mistake on the command line or in the files"
)
_WIDTH = 8  # of the longest check's name


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        CHECK_DATA,
        allow_abbrev=False,
        help="check a folder of stories, your copy of TinyStories-Instruct, before anything is trained on it",
        description="Check a folder of stories for --capbench-data: records, features, tokens, and what is dropped. The stories "
        "are made to tokens once, which a run at the same scale finds in the cache. Nothing is downloaded or trained.",
        epilog=EXIT_CODES,
    )
    parser.add_argument(
        "folder", metavar="FOLDER", help="with TinyStories-Instruct-train.txt and TinyStories-Instruct-valid.txt"
    )
    declare(parser.add_argument, CHECK_DATA)
    parser.set_defaults(run=_check)


def _check(namespace: argparse.Namespace) -> int:
    options = Given.read(CHECK_DATA, namespace).checked()
    from capbench.check.data import check_data
    from capbench.store.store import beside, default_root

    made = failed = 0
    root = beside(default_root(options["cache"]), "stories")
    for finding in check_data(namespace.folder, scale=options["scale"], root=root):
        print(f"{finding.mark:<4}  {finding.check:<{_WIDTH}}  {finding.message}", flush=True)
        made, failed = made + 1, failed + (not finding.ok)
    print(f"{namespace.folder}: " + (f"{failed} of {made} checks failed" if failed else "nothing wrong"))
    return 1 if failed else 0
