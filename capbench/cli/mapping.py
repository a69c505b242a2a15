"""`capbench map`: over two conditions as a grid, where does a capability stay, hide, or go?"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.cli.one_method import EXIT_CODES, method_of, method_words
from capbench.errors import UsageError
from capbench.session.options.given import Given, declare

if TYPE_CHECKING:
    from capbench.methods.specs.registry import MethodRef


def add(commands: Any) -> None:
    """Add the sub-command."""
    parser = commands.add_parser(
        "map",
        allow_abbrev=False,
        help="map what becomes of a capability over two conditions of fine-tuning",
        description="Fine-tune the Counter under every pair of two conditions, judge each model, and map the states. Places "
        "beside a boundary get more seeds, and on request new places between them. What was made is in the cache; the same "
        "command goes on from there.",
        epilog=EXIT_CODES,
    )
    declare(parser.add_argument, "map")
    parser.set_defaults(run=_map)


def _map(namespace: argparse.Namespace) -> int:
    from capbench.mapping import grid, show
    from capbench.mapping.charting import STUDY, Charting
    from capbench.report import check_directory
    from capbench.session.options.at_once import at_once
    from capbench.session.options.cache import cache_shown, opened
    from capbench.session.report import run_info
    from capbench.store.store import default_root
    from capbench.studies import registry
    from capbench.studies.deletion.study import DeletionCounter
    from capbench.studies.scales import SCALES

    started, began = time.time(), time.monotonic()
    given = Given.read("map", namespace)
    options = given.checked()
    x, y = (grid.axis(given.typed(name), options[name]) for name in ("x", "y"))
    fixed = _fixed(given.shown("fixed"), options["fixed"], {x.name, y.name} if given.text("fixed") is None else set())
    how = at_once(given, options)
    method = method_of(given, options)
    if options["report"] is not None:
        check_directory(Path(options["report"]))
    study = registry.make(
        STUDY, scale=options["scale"], method=method, device=options["device"], precision=options["precision"]
    )
    assert isinstance(study, DeletionCounter)
    seeds = tuple(range(options["seeds"] or SCALES[options["scale"]]))
    found = Charting(
        x=x,
        y=y,
        fixed=fixed,
        study=study,
        store=opened(default_root(options["cache"]), cache_shown(given)),
        seeds=seeds,
        refine=options["refine"] or 0,
        at_once=how,
        say=lambda words: print(words, file=sys.stderr, flush=True),
        deadline=began + (options["budget-minutes"] or math.inf),
    ).chart()
    run = run_info(
        run_id="map",
        device=options["device"],
        jobs=how.jobs,
        scale=options["scale"],
        seeds=seeds,
        methods=(method.name,),
        command=_command(given, options, seeds=len(seeds), method=method, fixed=fixed),
        started=started,
        seconds=time.monotonic() - began,
    )
    if options["report"] is not None:
        for file in show.write(found, run, study.toolbox, Path(options["report"])):
            print(f"capbench: wrote {file}", file=sys.stderr)
    print(show.to_text(found, run))
    return 1 if any(outcome.shown == "failed" for outcome in found.outcomes) else 0


def _fixed(option: str, text: str, besides: set[str]) -> dict[str, Any]:
    """Conditions as typed, `prior=low,c_tr=1`, without those in besides. Raises UsageError, one line."""
    from capbench.mapping import grid

    found: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not name or not equals or not value:
            raise UsageError(f"{option}: {part.strip()!r} must be a condition and its value, as in c_tr=1")
        if name in found:
            raise UsageError(f"{option}: names {name} twice")
        if name not in besides:
            # A prior is a name even where it looks like a number, as 0.9 does.
            found[name] = value if name == "prior" else grid.value(value)
    return found


def _command(
    given: Given, options: Mapping[str, Any], *, seeds: int, method: MethodRef, fixed: Mapping[str, Any]
) -> str:
    """The command line as a report shows it: what the map depends on, without this machine's directories."""
    words = ["capbench", "map", "-x", options["x"], "-y", options["y"]]
    words += ["--fixed", ",".join(f"{name}={value}" for name, value in fixed.items())]
    words += [] if options["refine"] is None else ["--refine", str(options["refine"])]
    words += ["--scale", options["scale"], "--seeds", str(seeds)]
    return shlex.join([*words, *method_words(given, options, method)])
