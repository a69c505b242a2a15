"""`capbench zoo`: make the base models that come with the package, check them, and give them new keys."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from capbench.cli import suites
from capbench.errors import CapbenchError, NoTestsError, UsageError
from capbench.session.options.given import Given


def add(commands: Any) -> None:
    """Add the sub-command, which has sub-commands of its own."""
    parser = commands.add_parser(
        "zoo",
        allow_abbrev=False,
        help="make, check or rekey the base models that come with the package",
        description="The base models that come with the package: runs take them instead of training where configuration and "
        "code are the same (not with --capbench-retrain).",
    )
    parts = parser.add_subparsers(dest="part", metavar="COMMAND", required=True)
    build = suites.add(
        parts,
        "zoo build",
        "build",
        help="train what is not in the cache, and put all into the package",
        description="Train the base models that the suites need (calibration and variants train their own), measure of them what "
        "is the same for every method, and write all with a manifest into the package. What is in the cache is not made again.",
        epilog=suites.EXIT_CODES.format("a model could not be made, all take more than 30 MB"),
    )
    build.set_defaults(run=_build)
    verify = suites.add(
        parts,
        "zoo verify",
        "verify",
        help="check the files, and that they are what the suites ask for",
        description="Check the manifest, every file (SHA-256, shapes, finite) and that the models, curves and readings are those "
        "that the suites ask for, made by the code as it is now.",
        epilog=suites.EXIT_CODES.format("something is damaged, absent or of another version of the code"),
    )
    verify.set_defaults(run=_verify)
    trace = suites.add(
        parts,
        "zoo trace",
        "trace",
        help="write what short trainings of the models give, before their code is changed",
        description="Train each model in few steps, and write a digest of what comes out. `capbench zoo rekey` compares it with "
        "the digest of the code as it is after a change, on the same machine.",
        epilog=suites.EXIT_CODES.format("a model cannot be made"),
    )
    trace.set_defaults(run=_trace)
    rekey = suites.add(
        parts,
        "zoo rekey",
        "rekey",
        help="give the models the keys of today's code, if it trains them as the code before did",
        description="Train the bundled models whose code changed in few steps, as `capbench zoo trace` did with the code before. "
        "If all come out the same, to the bit, write their new keys into the manifest, and measure anew what is bundled with "
        "them; otherwise change nothing.",
        epilog=suites.EXIT_CODES.format("a model is damaged, differs or cannot be made"),
    )
    rekey.set_defaults(run=_rekey)
    for part in (build, verify, trace, rekey):
        suites.add_paths(part)


def _build(namespace: argparse.Namespace) -> int:
    from capbench.zoo.bundle import check_folder
    from capbench.zoo.command import Selection
    from capbench.zoo.manifest import FOLDER

    given = Given.read("zoo build", namespace)
    folder = FOLDER if (to := given.text("to")) is None else Path(to)
    check_folder("--to", folder)
    run, tests = suites.collected(namespace, given)
    from capbench.session.zoo import build

    chosen = Selection(tests=tuple(namespace.paths), keyword=given.text("k") or "", marks=given.text("m") or "")
    try:
        build(run, tests, folder, selection=chosen, say=suites.say)
    except (UsageError, NoTestsError):
        raise
    except CapbenchError as error:
        raise CapbenchError(f"nothing was bundled: {error}") from error
    return 0


def _verify(namespace: argparse.Namespace) -> int:
    given, folder = _as_built(namespace, "zoo verify")
    run, tests = suites.collected(namespace, given)
    from capbench.session.zoo import verify

    part = bool(given.text("k") or given.text("m"))
    return 0 if verify(run, tests, folder, part=part, say=suites.say) else 1


def _trace(namespace: argparse.Namespace) -> int:
    given, _ = _as_built(namespace, "zoo trace")
    file = Path(Given.read("zoo trace", namespace).text("bits") or "bits.json")
    run, tests = suites.collected(namespace, given)
    from capbench.session.zoo import trace

    trace(run, tests, file, say=suites.say)
    return 0


def _rekey(namespace: argparse.Namespace) -> int:
    given, folder = _as_built(namespace, "zoo rekey")
    run, tests = suites.collected(namespace, given)
    from capbench.session.zoo import rekey

    before = Given.read("zoo rekey", namespace).text("bits")
    rekey(run, tests, folder, None if before is None else Path(before), say=suites.say)
    return 0


def _as_built(namespace: argparse.Namespace, taker: str) -> tuple[Given, Path]:
    """The options of a command on bundled models, with the scale and seeds that they were made for, and their folder."""
    from capbench.zoo.manifest import FOLDER, read

    given = Given.read(taker, namespace)
    folder = FOLDER if (place := given.text("from")) is None else Path(place)
    if not folder.is_dir():
        raise UsageError(f"--from={folder}: there is no such folder; `capbench zoo build` makes one")
    manifest = read(folder)
    made_for: dict[str, Any] = {}
    if manifest is not None:
        made_for = {"scale": manifest.scale, "seeds": str(len(manifest.seeds)), "extended": manifest.extended}
        made_for["pool"] = manifest.pool
    return Given("zoo build", {**given.texts, **made_for}), folder
