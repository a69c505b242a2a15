"""The commands that need the models of tests: how the tests are named, and how their models come about."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.errors import UsageError
from capbench.session.options.given import Given, declare

if TYPE_CHECKING:
    from capbench.session.run import CapbenchSession, Collected

_HERE, _INSTALLED = "suites/", ("--pyargs", "capbench.suites")
EXIT_CODES = (
    "exit code: 0 done; 1 {}, or a test file is broken; 2 a mistake on the command line; 5 no test was collected; "
    "130 interrupted"
)


def add(commands: Any, taker: str, name: str, **more: Any) -> argparse.ArgumentParser:
    """Add a command that takes tests, with its options from the table. more: for its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(name, allow_abbrev=False, **more)
    declare(parser.add_argument, taker)
    return parser


def add_paths(parser: argparse.ArgumentParser) -> None:
    """Add the tests themselves, after other arguments."""
    parser.add_argument(
        "paths", metavar="SUITE", nargs="*", help="test files or folders (default: suites/, else the installed ones)"
    )


def paths(namespace: argparse.Namespace) -> list[str]:
    """The tests as they were named. By default the suites of this folder, else those that came with the package."""
    return namespace.paths or ([_HERE] if Path(_HERE).is_dir() else list(_INSTALLED))


def collected(namespace: argparse.Namespace, given: Given) -> tuple[CapbenchSession, Collected]:
    """The session and the tests that need models. Raises as `capbench.plugin.collecting.collect` does."""
    for path in namespace.paths:
        if path.startswith("-"):  # argparse lets these through after `--`; pytest would take them for its own options
            raise UsageError(f"{path}: not a test file or folder; give options before `--`")
    from capbench.plugin.collecting import collect

    letters = [word for name in ("k", "m") if (text := given.text(name)) is not None for word in (f"-{name}", text)]
    return collect([*paths(namespace), *letters], given)


def say(line: str) -> None:
    """For what a command makes: on standard output, at once."""
    print(line, flush=True)


def told(why: list[str]) -> int:
    """The exit code where this could not be made; each line is printed."""
    for line in why:
        print(f"capbench: {line}", file=sys.stderr)
    return 1 if why else 0
