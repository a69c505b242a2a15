"""`capbench zoo`: make the base models that come with the package, and check them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXIT_CODES = "exit code: pytest's: 0 fine; 1 {}; 2 interrupted; 4 a mistake on the command line"


def add(commands: Any) -> None:
    """Add the sub-command, which has two of its own."""
    parser = commands.add_parser(
        "zoo",
        allow_abbrev=False,
        help="make or check the base models that come with the package",
        description="The base models that come with the package: runs take them instead of training where configuration and "
        "code are the same (not with --capbench-retrain).",
    )
    parts = parser.add_subparsers(dest="part", metavar="COMMAND", required=True)
    build = parts.add_parser(
        "build",
        allow_abbrev=False,
        help="train what is not in the cache, and put all into the package",
        description="Train the base models that the suites need (calibration and variants train their own), and write them "
        "with a manifest into the package. What is in the cache is not trained again.",
        epilog=EXIT_CODES.format("a model could not be made, or more than 30 MB of them"),
    )
    _add_common(build, "--to", "where to (default: the package)")
    build.add_argument("--extended", action="store_true", help="also for the claims beyond the core")
    build.add_argument("--scale", metavar="SCALE", help="smoke, small (default) or paper")
    build.add_argument("--seeds", metavar="N", help="number of seeds (default: the scale's; small: 3)")
    build.add_argument(
        "--cache", metavar="DIR", help="where models are kept (default: CAPBENCH_CACHE or the user cache)"
    )
    build.add_argument("--jobs", metavar="N", help="trainings at a time, one core each (default: all cores; 1 on cuda)")
    build.add_argument("--stack", metavar="N", help="train up to N models in one pass (default: 16 on cuda, 1 on cpu)")
    build.set_defaults(run=_build)
    verify = parts.add_parser(
        "verify",
        allow_abbrev=False,
        help="check the files, and that they are what the suites ask for",
        description="Check the manifest, every file (SHA-256, shapes, finite) and that the models are those that the suites ask "
        "for, made by the code as it is now.",
        epilog=EXIT_CODES.format("a model is damaged, absent or of another version of the code"),
    )
    _add_common(verify, "--from", "where they are (default: the package)")
    verify.set_defaults(run=_verify)


def _add_common(parser: argparse.ArgumentParser, option: str, words: str) -> None:
    parser.add_argument("paths", metavar="SUITE", nargs="*", default=["suites/"], help="tests (default: suites/)")
    parser.add_argument(option, dest="folder", metavar="DIR", help=words)
    parser.add_argument("-k", metavar="EXPRESSION", help="only for the claims whose id holds this, as in pytest")
    parser.add_argument("-m", metavar="EXPRESSION", help="only for the tests with these marks, as in pytest")
    parser.add_argument("--device", metavar="DEVICE", help="cpu (default) or cuda")
    parser.add_argument("--precision", metavar="PRECISION", help="float32 (default) or bfloat16")


def _build(given: argparse.Namespace) -> int:
    names = ("scale", "seeds", "cache", "jobs", "stack")
    return _pytest(given, "build", {name: getattr(given, name) for name in names}, extended=given.extended)


def _verify(given: argparse.Namespace) -> int:
    from capbench.zoo.manifest import FOLDER, read

    manifest = read(Path(given.folder) if given.folder is not None else FOLDER)
    made_for = {} if manifest is None else {"scale": manifest.scale, "seeds": str(len(manifest.seeds))}
    return _pytest(given, "verify", made_for, extended=manifest is not None and manifest.extended)


def _pytest(given: argparse.Namespace, what: str, more: Mapping[str, str | None], *, extended: bool) -> int:
    """Only a collection of tests knows which models they need."""
    options = [f"--capbench-zoo={what}", "-q", *(["--capbench-extended"] if extended else [])]
    options += [f"--capbench-zoo-dir={given.folder}"] if given.folder is not None else []
    more = {**more, "device": given.device, "precision": given.precision}
    options += [f"--capbench-{name}={value}" for name, value in more.items() if value is not None]
    options += [
        word for name in ("k", "m") if (value := getattr(given, name)) is not None for word in (f"-{name}", value)
    ]
    return subprocess.run([sys.executable, "-m", "pytest", *given.paths, *options], check=False).returncode
