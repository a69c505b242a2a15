"""The command-line options of the pytest plugin: declared, and read; what they mean is checked in session/options.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capbench.errors import UsageError
from capbench.plugin.studies import known_studies

if TYPE_CHECKING:
    from capbench.session.options import Options


def add_options(parser: pytest.Parser) -> None:
    """Add them all, as one group."""
    group = parser.getgroup("capbench", "capbench: what fine-tuning does to capabilities")
    group.addoption("--capbench-report", metavar="DIR", help="write a report of this run below DIR")
    group.addoption(
        "--capbench-method",
        metavar="METHOD",
        action="append",
        help="fine-tuning method: full (default) or another built-in name, the name of an entry point capbench.methods or of the "
        "hook pytest_capbench_register_methods, pkg.mod:attr, file.py:attr or peft:adapter_config.json; repeatable",
    )
    group.addoption(
        "--capbench-method-arg",
        metavar="KEY=VALUE",
        action="append",
        help="an argument for every method of the run: int, float, true or false, else text; repeatable",
    )
    group.addoption("--capbench-scale", metavar="SCALE", default="small", help="smoke, small (default) or paper")
    group.addoption("--capbench-seeds", metavar="N", help="number of seeds (default: the scale's; small: 3)")
    group.addoption("--capbench-extended", action="store_true", help="also run claims beyond the core")
    group.addoption(
        "--capbench-cache", metavar="DIR", help="where models are kept (default: CAPBENCH_CACHE or the user cache)"
    )
    group.addoption(
        "--capbench-retrain",
        action="store_true",
        help="take no base model from the package: train all, and keep them in a cache of their own, retrained/ in the other",
    )
    group.addoption("--capbench-device", metavar="DEVICE", default="cpu", help="cpu (default) or cuda")
    group.addoption(
        "--capbench-precision",
        metavar="PRECISION",
        default="float32",
        help="of the trainings of GPTs: float32 (default) or bfloat16; what is measured is measured in float32",
    )
    group.addoption("--capbench-jobs", metavar="N", help="trainings at a time, one core each (default: all cores)")
    group.addoption(
        "--capbench-executor",
        metavar="WHERE",
        default="local",
        help="make the models here (local, default) or on a Ray cluster (ray; pip install 'capbench[ray]')",
    )
    group.addoption(
        "--capbench-address",
        metavar="ADDRESS",
        help="the Ray cluster, host:port or auto; this machine must be a node of it (default: one is started, for this run)",
    )
    group.addoption(
        "--capbench-gpus-per-task", metavar="SHARE", help="share of a GPU that a training asks of Ray (default .25)"
    )
    group.addoption(
        "--capbench-stack",
        metavar="N",
        help="train up to N models of one architecture in one pass, in one process (default: 16 on cuda, 1 on cpu, where it "
        "gains nothing); equal to training them singly within float32 tolerance",
    )
    group.addoption(
        "--capbench-variants",
        metavar="N",
        help="also try claims on N variants of their task, drawn by Hypothesis (the same ones each time, unless "
        "--hypothesis-seed is given); with --capbench-extended 12",
    )
    group.addoption(
        "--capbench-variants-minutes",
        metavar="MINUTES",
        default="12",
        help="no training for a variant begins that would not end in this time (default 12)",
    )
    group.addoption(
        "--capbench-replay",
        metavar="ID",
        action="append",
        help="try the claims on this variant of an earlier run instead, named by its id; repeatable",
    )
    group.addoption(
        "--capbench-task",
        metavar="TASK",
        help="run the suites of the Counter on a task of your own: file.py:attr or pkg.mod:attr, a "
        "capbench.studies.pcfg.own.TaskSpec or a function that returns one",
    )
    group.addoption(
        "--capbench-baseline",
        metavar="DIR",
        help="compare this run with that one (its folder or results.json) and fail on a regression; auto: with the run kept in "
        "baseline/ below the report directory, or keep this one if there is none",
    )
    group.addoption(
        "--capbench-baseline-save", action="store_true", help="with auto: keep this run in place of that one"
    )
    group.addoption(
        "--capbench-fail-on",
        metavar="WHAT",
        action="append",
        help="what a regression is: verdict (default), status, margin:-0.05 or none, as in capbench compare; repeatable",
    )
    group.addoption(
        "--capbench-expect",
        metavar="WHAT",
        default="paper",
        help="what is expected of the method: paper (default), preserve, delete, or a TOML file of claims and verdicts",
    )
    group.addoption(
        "--capbench-only",
        metavar="WHAT",
        help="run no test, but print the plan of the models that they need with its costs (plan), or make them (train); "
        "also: capbench plan, capbench train",
    )
    group.addoption(
        "--capbench-export",
        metavar="DIR",
        help="run no test, but write base models and data to DIR, for a training elsewhere (also: capbench export)",
    )
    group.addoption(
        "--capbench-export-data", metavar="WHAT", help="data to write: full (default: all streams), target or none"
    )
    group.addoption(
        "--capbench-checkpoints",
        metavar="DIR",
        help="in place of a method: judge the tuned weights in DIR, made by --capbench-export (check it: capbench verify)",
    )
    group.addoption(
        "--capbench-zoo",
        metavar="WHAT",
        help="run no test, but build or verify the base models that come with the package (also: capbench zoo)",
    )
    group.addoption("--capbench-zoo-dir", metavar="DIR", help="do that in DIR (default: the package)")


def read_options(config: pytest.Config) -> Options:
    """Those that were given, checked. Raises UsageError."""
    from capbench.session.options import Options

    return Options.parse(
        config.option,
        workers=_worker_count(config),
        command=" ".join(["pytest", *_arguments(config)]),
        registered=_registered(config),
        studies=known_studies(config),
    )


def _registered(config: pytest.Config) -> dict[str, str]:
    """Names for methods from plugins and from the conftest files that are loaded by now. Raises UsageError."""
    from capbench.methods.specs import names
    from capbench.methods.specs.user_code import one_line

    try:
        answers = config.hook.pytest_capbench_register_methods(config=config)
    except Exception as error:
        raise UsageError(f"pytest_capbench_register_methods failed: {one_line(error)}") from error
    return names.collect(answers)


def _worker_count(config: pytest.Config) -> int:
    """Number of pytest-xdist processes that share this machine's cores."""
    return int(getattr(config, "workerinput", {}).get("workercount", 1))


def _arguments(config: pytest.Config) -> tuple[str, ...]:
    return tuple(str(a) for a in config.invocation_params.args)
