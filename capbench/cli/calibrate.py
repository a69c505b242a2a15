"""`capbench calibrate`: how the tools' thresholds were set, on models of known state that no result is reported on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from capbench.cli import making
from capbench.errors import UsageError

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
    parser.add_argument("--seeds", metavar="SEEDS", default="100,101", help="seeds of the pools (default: 100,101)")
    parser.add_argument("--values", action="store_true", help="also every tool's value on every model")
    making.add_place(parser)
    making.add_precision(parser)
    parser.set_defaults(run=_calibrate)


def _calibrate(given: argparse.Namespace) -> int:
    from tabulate import tabulate

    from capbench.session import running
    from capbench.store.store import Store, default_root
    from capbench.studies.calibration.factory import pool
    from capbench.studies.calibration.thresholds import setting

    running.check_scale("--scale", given.scale)
    running.check_device("--device", given.device)
    at_once = making.at_once(given)
    precision = running.precision("--precision", given.precision)
    store = Store(default_root(given.cache))

    def make(plan: Plan) -> Mapping[str, str]:
        return running.make(plan, store, at_once=at_once, say=lambda words: print(words, file=sys.stderr, flush=True))

    found, read = setting(
        pool(scale=given.scale, method=None, device=given.device, precision=precision),
        seeds=_seeds(given.seeds),
        store=store,
        make=make,
    )
    if given.values:
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


def _seeds(given: str) -> tuple[int, ...]:
    parts = given.split(",")
    if not all(p.isascii() and p.isdecimal() for p in parts):
        raise UsageError(f"--seeds={given}: must be whole numbers separated by commas, as in 100,101")
    return tuple(dict.fromkeys(map(int, parts)))
