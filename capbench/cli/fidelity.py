"""`capbench fidelity`: a table of the paper beside the same figures made here."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.cli import making
from capbench.errors import MethodError, UsageError

if TYPE_CHECKING:
    from capbench.fidelity.paper import Table
    from capbench.studies.base import FineTuningStudy

EXIT_CODES = (
    "exit code: 0 done, also if only the time of --budget-minutes is up; 1 something could not be made; "
    "2 a mistake on the command line"
)


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
    parser.add_argument(
        "--table",
        metavar="TABLE",
        required=True,
        help="tracr: Table 3, compiled Counter and Max; pcfg-counting: Table 5, the Counter pretrained on a PCFG",
    )
    parser.add_argument(
        "--cells",
        metavar="CELLS",
        action="append",
        default=[],
        help="only these rows: task, task:lr or task:lr:c_tr (pcfg-counting: prior in place of task), several separated "
        "by commas; repeatable. lr as in the paper or by name. Examples: counter:1e-2   max:medium:1,counter:1e-3   low:small",
    )
    parser.add_argument(
        "--pretrain-steps",
        metavar="N",
        help="pretrain for N steps (default: the scale's; paper: 200000); not for compiled models",
    )
    parser.add_argument(
        "--budget-minutes",
        metavar="M",
        help="end within about M minutes: begin no training that is not expected to be finished by then, stop those that are "
        "not, and show what there is. The same command goes on from there; M must be more than the longest training takes",
    )
    parser.add_argument("--report", metavar="DIR", help="write fidelity-TABLE.json and fidelity-TABLE.md in DIR")
    making.add(parser)
    making.add_precision(parser)
    parser.set_defaults(run=_fidelity)


def _fidelity(given: argparse.Namespace) -> int:
    from capbench.fidelity import paper, show
    from capbench.fidelity.run import replicate
    from capbench.methods.specs import arguments
    from capbench.report import check_directory
    from capbench.session import running
    from capbench.store.store import Store, default_root
    from capbench.studies import registry
    from capbench.studies.base import FineTuningStudy
    from capbench.studies.pcfg.study import PcfgStudy
    from capbench.studies.scales import SCALES

    started, began = time.time(), time.monotonic()
    table = paper.load(given.table)
    rows = paper.select(table, given.cells)
    running.check_scale("--scale", given.scale)
    pretrain_steps = _pretrain_steps(table, given.pretrain_steps)
    deadline = began + running.minutes("--budget-minutes", given.budget_minutes)
    seeds = tuple(range(running.count("--seeds", given.seeds, SCALES[given.scale])))
    running.check_device("--device", given.device)
    at_once = making.at_once(given)
    precision = running.precision("--precision", given.precision)
    try:
        method_arguments = arguments.parse("--method-arg", given.method_arg)
        method = running.find_method("--method", given.method, arguments=method_arguments)
    except MethodError as error:
        raise UsageError(f"--method={given.method}: {error}") from None
    store = Store(default_root(given.cache))
    if given.report is not None:
        check_directory(Path(given.report))

    def study(name: str) -> FineTuningStudy:
        made = registry.make(name, scale=given.scale, method=method, device=given.device, precision=precision)
        assert isinstance(made, FineTuningStudy)
        if pretrain_steps is None or not isinstance(made, PcfgStudy):
            return made
        return replace(made, preset=replace(made.preset, pretrain_steps=pretrain_steps, longer={}))

    found = replicate(
        table,
        rows,
        study=study,
        seeds=seeds,
        store=store,
        at_once=at_once,
        say=lambda words: print(words, file=sys.stderr, flush=True),
        deadline=deadline,
    )
    run = running.run_info(
        run_id=f"fidelity-{table.name}",
        device=given.device,
        jobs=at_once.jobs,
        scale=given.scale,
        seeds=seeds,
        methods=(method.name,),
        command=_command(given, seeds=len(seeds), method=method.label),
        started=started,
    )
    if given.report is not None:
        for file in show.write(table, found, run, Path(given.report)):
            print(f"capbench: wrote {file}", file=sys.stderr)
    print(show.to_text(table, found, run))
    return 1 if any(cell.failed for cell in found.cells) else 0


def _pretrain_steps(table: Table, given: str | None) -> int | None:
    """The number of pretraining steps that was given, if any."""
    from capbench.session import running

    if given is None:
        return None
    steps = running.count("--pretrain-steps", given, 1)
    if table.pretrain_steps is None:
        raise UsageError(f"--pretrain-steps={given}: the compiled models of table {table.name} are not pretrained")
    return steps


def _command(given: argparse.Namespace, *, seeds: int, method: str) -> str:
    """The command line as a report shows it: what the figures depend on, without this machine's directories."""
    words = ["capbench", "fidelity", "--table", given.table, "--scale", given.scale, "--seeds", str(seeds)]
    words += [word for cells in given.cells for word in ("--cells", cells)]
    words += [] if given.pretrain_steps is None else ["--pretrain-steps", given.pretrain_steps]
    words += ["--method", method, *(word for text in given.method_arg or () for word in ("--method-arg", text))]
    words += [] if given.precision == "float32" else ["--precision", given.precision]
    return shlex.join([*words, "--device", given.device])
