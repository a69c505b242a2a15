"""`capbench export`: base models and data for a training elsewhere. A short form of pytest's --capbench-export."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any

EXIT_CODES = (
    "exit code: pytest's: 0 written; 1 a base model could not be made; 2 interrupted; 4 a mistake on the command line"
)


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "export",
        allow_abbrev=False,
        help="write base models and data to a folder, to fine-tune them elsewhere",
        description="Write the base models and the data that the suites' fine-tunings need to DIR. Fine-tune them elsewhere, put "
        "the weights into DIR/tuned/, check them with `capbench verify DIR` and judge them with "
        "`pytest suites/ --capbench-checkpoints=DIR`.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("directory", metavar="DIR", help="a new folder")
    parser.add_argument("paths", metavar="SUITE", nargs="*", default=["suites/"], help="tests (default: suites/)")
    parser.add_argument("-k", metavar="EXPRESSION", help="only the claims whose id holds this, as in pytest")
    parser.add_argument("--scale", metavar="SCALE", help="smoke, small (default) or paper")
    parser.add_argument("--seeds", metavar="N", help="number of seeds (default: the scale's; small: 3)")
    parser.add_argument("--extended", action="store_true", help="also the claims beyond the core")
    parser.add_argument("--data", metavar="WHAT", help="data to write: full (default: all streams), target or none")
    parser.add_argument(
        "--cache", metavar="DIR", help="where models are kept (default: CAPBENCH_CACHE or the user cache)"
    )
    parser.add_argument("--device", metavar="DEVICE", help="cpu (default) or cuda")
    parser.add_argument("--jobs", metavar="N", help="trainings at a time, one core each (default: all cores)")
    parser.set_defaults(run=_export)


def _export(given: argparse.Namespace) -> int:
    names = {
        "scale": "scale",
        "seeds": "seeds",
        "data": "export-data",
        "cache": "cache",
        "device": "device",
        "jobs": "jobs",
    }
    options = [f"--capbench-export={given.directory}"]
    options += [
        f"--capbench-{name}={value}" for key, name in names.items() if (value := getattr(given, key)) is not None
    ]
    options += ["--capbench-extended"] if given.extended else []
    options += ["-k", given.k] if given.k is not None else []
    # Only a collection of tests knows which models they need.
    return subprocess.run([sys.executable, "-m", "pytest", *given.paths, *options], check=False).returncode
