"""`capbench fidelity`: a table of the paper beside the same figures made here."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.cli.one_method import EXIT_CODES, method_of, method_words
from capbench.errors import UsageError
from capbench.session.options.given import Given, declare

if TYPE_CHECKING:
    from capbench.methods.specs.registry import MethodRef
    from capbench.studies.base import Study


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "fidelity",
        allow_abbrev=False,
        help="put a table of the paper beside the same figures made here",
        description="Put a table of the paper beside the same figures made here. Models that are not in the cache are "
        "trained; pytest suites/ uses the same ones.",
        epilog=EXIT_CODES,
    )
    declare(parser.add_argument, "fidelity")
    parser.set_defaults(run=_fidelity)


def _fidelity(namespace: argparse.Namespace) -> int:
    from capbench.fidelity import known, paper, show
    from capbench.fidelity.run import replicate
    from capbench.report import check_directory
    from capbench.session.options.at_once import at_once
    from capbench.session.options.cache import cache_shown, opened
    from capbench.session.report import run_info
    from capbench.store.store import default_root
    from capbench.studies import registry
    from capbench.studies.pcfg.study import PcfgStudy
    from capbench.studies.scales import SCALES
    from capbench.studies.stories.study import StoriesStudy

    started, began = time.time(), time.monotonic()
    given = Given.read("fidelity", namespace)
    options = given.checked()
    table = known.load(options["table"])
    rows = paper.select(table, options["cells"])
    pretrain_steps = options["pretrain-steps"]
    if pretrain_steps is not None and table.pretrain_steps is None:
        raise UsageError(
            f"{given.shown('pretrain-steps')}: the compiled models of table {table.name} are not pretrained"
        )
    deadline = began + (options["budget-minutes"] or math.inf)
    seeds = tuple(range(options["seeds"] or SCALES[options["scale"]]))
    how = at_once(given, options)
    method = method_of(given, options)
    store, report = opened(default_root(options["cache"]), cache_shown(given)), options["report"]
    if report is not None:
        check_directory(Path(report))

    def study(name: str) -> Study:
        made = registry.make(
            name, scale=options["scale"], method=method, device=options["device"], precision=options["precision"]
        )
        if pretrain_steps is not None and isinstance(made, PcfgStudy):
            return replace(made, preset=replace(made.preset, pretrain_steps=pretrain_steps, longer={}))
        if pretrain_steps is not None and isinstance(made, StoriesStudy):
            return replace(made, preset=replace(made.preset, pretrain_steps=pretrain_steps))
        return made

    found = replicate(
        table,
        rows,
        study=study,
        seeds=seeds,
        store=store,
        at_once=how,
        say=lambda words: print(words, file=sys.stderr, flush=True),
        deadline=deadline,
    )
    run = run_info(
        run_id=f"fidelity-{table.name}",
        device=options["device"],
        jobs=how.jobs,
        scale=options["scale"],
        seeds=seeds,
        methods=(method.name,),
        command=_command(given, options, seeds=len(seeds), method=method),
        started=started,
        seconds=time.monotonic() - began,
    )
    if report is not None:
        for file in show.write(table, found, run, Path(report)):
            print(f"capbench: wrote {file}", file=sys.stderr)
    print(show.to_text(table, found, run))
    return 1 if any(cell.failed for cell in found.cells) else 0


def _command(given: Given, options: Mapping[str, Any], *, seeds: int, method: MethodRef) -> str:
    """The command line as a report shows it: what the figures depend on, without this machine's directories."""
    words = ["capbench", "fidelity", "--table", options["table"], "--scale", options["scale"], "--seeds", str(seeds)]
    words += [word for cells in options["cells"] for word in ("--cells", cells)]
    words += [] if options["pretrain-steps"] is None else ["--pretrain-steps", given.text("pretrain-steps")]
    return shlex.join([*words, *method_words(given, options, method)])
