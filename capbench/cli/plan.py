"""`capbench plan` and `capbench train`: the models that suites need, shown with costs or made, without running a test."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

from capbench.cli import making

PLAN = (
    "Print which models the suites need, what they are made of (pretrain, fine-tune, revive), which are in the cache, and what "
    "the others will cost. Nothing is made."
)
TRAIN = (
    "Make the models that the suites need, each once, the longest chains first, and measure nothing: pytest with the same "
    "options finds them. If it is interrupted, the same command goes on from there, trainings from where they were."
)
EXIT_CODES = (
    "exit code: pytest's: 0 done; 1 a model cannot be made; 2 interrupted; 4 a mistake on the command line; 5 no tests"
)


def add(commands: Any) -> None:
    """Add the sub-commands."""
    for name, description in (("plan", PLAN), ("train", TRAIN)):
        help = (
            "print the models that the suites need, with costs" if name == "plan" else "make the models of the suites"
        )
        parser = commands.add_parser(name, allow_abbrev=False, help=help, description=description, epilog=EXIT_CODES)
        parser.add_argument("paths", metavar="SUITE", nargs="*", default=["suites/"], help="tests (default: suites/)")
        parser.add_argument("-k", metavar="EXPRESSION", help="only the claims whose id holds this, as in pytest")
        parser.add_argument("--extended", action="store_true", help="also the claims beyond the core")
        parser.add_argument("--variants", metavar="N", help="also the models of N variants for each claim on variants")
        making.add(parser)
        parser.set_defaults(run=_run, only=name)


def _run(given: argparse.Namespace) -> int:
    options = [f"--capbench-only={given.only}"]
    for name in ("scale", "seeds", "method", "variants", "cache", "device", "jobs"):
        if (value := getattr(given, name)) is not None:
            options.append(f"--capbench-{name}={value}")
    options += [f"--capbench-method-arg={each}" for each in given.method_arg or ()]
    options += ["--capbench-extended"] if given.extended else []
    options += ["-k", given.k] if given.k is not None else []
    # Only a collection of tests knows which models they need. Quiet: what counts is what the plugin says.
    command = [sys.executable, "-m", "pytest", *given.paths, "-qq", "--no-header", *options]
    return subprocess.run(command, check=False).returncode
