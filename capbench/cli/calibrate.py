"""`capbench calibrate`: set the tools' thresholds on models of known state that no result is reported on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.errors import CapbenchError, UsageError
from capbench.session.options.given import Given, declare

if TYPE_CHECKING:
    from capbench.studies.calibration.outcome import Outcome
    from capbench.studies.calibration.thresholds import Setting


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "calibrate",
        allow_abbrev=False,
        help="set the tools' thresholds on models of known state",
        description="Make the setting half of the calibration's pool, read every tool on it, and show the thresholds that follow "
        "beside those in use. With --output they are written, with the hash of the rule that they belong to. The pool's other "
        "half tests them, once: pytest suites/calibration --capbench-extended",
    )
    declare(parser.add_argument, "calibrate")
    parser.set_defaults(run=_calibrate)


def _calibrate(namespace: argparse.Namespace) -> int:
    from capbench.cli import output
    from capbench.session import calibrating
    from capbench.session.options.at_once import at_once
    from capbench.session.options.cache import cache_shown, opened
    from capbench.store.store import default_root
    from capbench.studies.calibration.examining import PROVISIONAL
    from capbench.studies.calibration.factory import setting_half
    from capbench.studies.calibration.kept import kept
    from capbench.studies.calibration.thresholds import setting

    given = Given.read("calibrate", namespace)
    options = given.checked()
    if options["tested"] is not None:
        from capbench.report import load

        try:
            tested = calibrating.tested_by(load(Path(options["tested"])), kept())
        except CapbenchError as error:
            raise UsageError(f"{given.shown('tested')}: {error}") from None
        output.give(tested.text(), options["output"])
        return 0
    how, seeds = at_once(given, options), options["seeds"]
    store = opened(default_root(options["cache"]), cache_shown(given))
    study = setting_half(scale=options["scale"], device=options["device"], precision=options["precision"])
    if options["plan"]:
        print(calibrating.planned(study, seeds, store, how))
        return 0
    outcome = calibrating.looked_at(study, seeds, store, at_once=how, say=_say)
    found = setting(outcome, PROVISIONAL)
    if options["values"]:
        _say_values(outcome)
    _say_thresholds(found)
    if options["output"] is not None:
        made = calibrating.set_by(found, scale=options["scale"], seeds=seeds, before=kept())
        output.give(made.text(), options["output"])
    return 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _say_values(outcome: Outcome) -> None:
    """Every tool's value on every model, and the verdict."""
    from tabulate import tabulate

    rows = [
        (j.seed, j.kind, j.made, j.task, j.said, tool, m.value, f"{m.bound} {m.note}".strip())
        for j in outcome.judged
        for tool, m in j.values.items()
    ]
    heads = ["seed", "kind", "made", "task", "verdict", "tool", "value", "reading"]
    print(tabulate(rows, headers=heads, floatfmt=".3f"), end="\n\n")


def _say_thresholds(found: list[Setting]) -> None:
    from tabulate import tabulate

    from capbench.studies.calibration.examining import TOOLS

    in_use = {(group, tool.name): tool for group, tools in TOOLS.items() for tool in tools}
    heads = [
        "models",
        "tool",
        "deleted",
        "lowest .. highest",
        "wrapped",
        "lowest .. highest",
        "AUC",
        "absent <=",
        "present >=",
    ]
    rows = []
    for s in found:
        t = s.thresholds
        new = (
            ["", "", ""]
            if t is None
            else [f"{t.auc:.3f}{'' if t.votes else ' (no vote)'}", f"{t.absent:g}", f"{t.present:g}"]
        )
        sides = [part for values in (s.deleted, s.wrapped) for part in (len(values), _range(values))]
        now = in_use[s.group, s.tool.name]
        rows.append([s.group, s.tool.name, *sides, *new, f"{now.absent:g}, {now.present:g}"])
    print(tabulate(rows, headers=[*heads, "in use"], disable_numparse=True))


def _range(values: tuple[float, ...]) -> str:
    return f"{min(values):.2f} .. {max(values):.2f}" if values else ""
