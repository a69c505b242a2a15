"""`capbench check-capability`: is a capability file sound, and can a model do what it asks?"""

from __future__ import annotations

import argparse
from typing import Any

from capbench.session.options.given import Given, declare

EXIT_CODES = (
    "exit code: 0 nothing wrong (notes are not); 1 a check failed; 2 a mistake on the command line, in the file or in an item, "
    "or no such model"
)
_WIDTH = 6  # of the longest check's name


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "check-capability",
        allow_abbrev=False,
        help="check a capability file, alone or on a model, before anything is trained for it",
        description="Check a capability in natural language: its splits, leaks between them, what the model's tokenizer makes of "
        "prompts and answers, chance, the model's accuracy, and what a run will cost. Nothing is downloaded or trained.",
        epilog=EXIT_CODES,
    )
    parser.add_argument(
        "capability",
        metavar="FILE",
        help="a TOML file, or a generated capability with its seed: implant-skill:0, implant-facts:0, capitals, sentiment",
    )
    declare(parser.add_argument, "check-capability")
    parser.set_defaults(run=_check)


def _check(namespace: argparse.Namespace) -> int:
    options = Given.read("check-capability", namespace).checked()
    from capbench.check.capability import check_capability

    made = failed = 0
    for finding in check_capability(namespace.capability, options["model"]):
        print(f"{finding.mark:<4}  {finding.check:<{_WIDTH}}  {finding.message}", flush=True)
        made, failed = made + 1, failed + (not finding.ok)
    print(f"{namespace.capability}: " + (f"{failed} of {made} checks failed" if failed else "nothing wrong"))
    return 1 if failed else 0
