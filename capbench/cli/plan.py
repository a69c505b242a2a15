"""`capbench plan` and `capbench train`: the models that suites need, shown with costs or made, without running a test."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    "exit code: pytest's: 0 done; 1 a model cannot be made, or the time for variants was not enough; 2 interrupted; "
    "4 a mistake on the command line; 5 no tests"
)
# Options by the names of pytest's own, without --capbench-: those with a value, those that may be repeated, and flags.
_VALUES = ("scale", "seeds", "variants", "variants-minutes", "task", "cache", "device", "jobs", "stack", "precision")
_OF_TRAIN = ("executor", "address", "gpus-per-task")
_LISTS = ("method", "method-arg")
_FLAGS = ("extended", "retrain")


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
        parser.add_argument(
            "--variants-minutes",
            metavar="M",
            help="no training for a variant begins that would not end in M minutes (12), nor any after it in the draw's order",
        )
        parser.add_argument("--hypothesis-seed", metavar="SEED", help="draw other variants")
        parser.add_argument("--task", metavar="TASK", help="a task of your own in place of the Counter's: file.py:attr")
        parser.add_argument("--retrain", action="store_true", help="take no base model from the package, train all")
        parser.add_argument(
            "--precision", metavar="PRECISION", help="of GPTs' trainings: float32 (default) or bfloat16"
        )
        making.add(parser, several=True)
        if name == "train":
            parser.add_argument(
                "--executor", metavar="WHERE", help="make them here (local, default) or on a Ray cluster (ray)"
            )
            parser.add_argument(
                "--address",
                metavar="ADDRESS",
                help="that cluster: host:port or auto (default: one is started, for this run)",
            )
            parser.add_argument(
                "--gpus-per-task", metavar="SHARE", help="share of a GPU for each training there (default .25)"
            )
        parser.set_defaults(run=_run, only=name)


def _run(given: argparse.Namespace) -> int:
    options = [f"--capbench-only={given.only}"]
    for name in (*_VALUES, *_OF_TRAIN):
        if (value := _of(given, name)) is not None:
            options.append(f"--capbench-{name}={value}")
    options += [f"--capbench-{name}={each}" for name in _LISTS for each in _of(given, name) or ()]
    options += [f"--capbench-{name}" for name in _FLAGS if _of(given, name)]
    options += [] if given.hypothesis_seed is None else [f"--hypothesis-seed={given.hypothesis_seed}"]
    options += ["-k", given.k] if given.k is not None else []
    # Only a collection of tests knows which models they need. Quiet: what counts is what the plugin says.
    command = [sys.executable, "-m", "pytest", *given.paths, "-qq", "--no-header", *options]
    with _waiting():
        return subprocess.run(command, check=False).returncode


@contextmanager
def _waiting() -> Iterator[None]:
    """Ctrl-C reaches pytest as well as this process: wait for it to stop what it has begun, which takes it a moment."""
    told: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if told:
        raise KeyboardInterrupt


def _of(given: argparse.Namespace, name: str) -> Any:
    return getattr(given, name.replace("-", "_"), None)
