"""`capbench calibrate`: how the tools' thresholds were set, on models of known state that no result is reported on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from capbench.session.options.given import Given, declare

if TYPE_CHECKING:
    from capbench.pipeline.plan import Plan


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "calibrate",
        allow_abbrev=False,
        help="read every tool on models of known state, and show the thresholds that follow",
        description="Read every tool on models that are known to be wrapped or deleted, and show the thresholds that follow "
        "beside those in use. The pool's other half, seeds 0 and up, tests them: pytest suites/calibration/test_calibration.py "
        "--capbench-extended",
    )
    declare(parser.add_argument, "calibrate")
    parser.set_defaults(run=_calibrate)


def _calibrate(namespace: argparse.Namespace) -> int:
    from tabulate import tabulate

    from capbench.session import making
    from capbench.session.options.at_once import at_once
    from capbench.session.options.cache import cache_shown, opened
    from capbench.store.store import default_root
    from capbench.studies.calibration.factory import pool
    from capbench.studies.calibration.thresholds import setting

    given = Given.read("calibrate", namespace)
    options = given.checked()
    how = at_once(given, options)
    store = opened(default_root(options["cache"]), cache_shown(given))

    def make(plan: Plan) -> Mapping[str, str]:
        return making.make(plan, store, at_once=how, say=lambda words: print(words, file=sys.stderr, flush=True))

    found, read = setting(
        pool(scale=options["scale"], method=None, device=options["device"], precision=options["precision"]),
        seeds=options["seeds"],
        store=store,
        make=make,
    )
    if options["values"]:
        rows = [
            (seed, *m.name.split(".", 2)[1:], m.value, m.note)
            for seed, measured in read.items()
            for m in measured
            if m.name.startswith("value.")
        ]
        print(tabulate(rows, headers=["seed", "tool", "model", "value", "reading"], floatfmt=".3f"), end="\n\n")
    head = ["tool", "deleted", "lowest .. highest", "wrapped", "lowest .. highest", "absent <=", "present >=", "in use"]
    table = [
        [
            s.tool.name,
            len(s.deleted),
            f"{min(s.deleted):.2f} .. {max(s.deleted):.2f}",
            len(s.wrapped),
            f"{min(s.wrapped):.2f} .. {max(s.wrapped):.2f}",
            *(f"{threshold:.3f}" for threshold in s.thresholds),
            f"{s.tool.absent:g}, {s.tool.present:g}",
        ]
        for s in found
    ]
    print(tabulate(table, headers=head, disable_numparse=True))
    return 0
