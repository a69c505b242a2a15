"""The options of every command that makes models: pytest's, without their prefix."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capbench.session.running import AtOnce

_METHOD = (
    "fine-tuning method: full (default) or another built-in name, the name of an entry point capbench.methods, "
    "pkg.mod:attr, file.py:attr or peft:adapter_config.json"
)


def add(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add them to a sub-command's parser. several: whether --method can be repeated, and gives a list (None if not given)."""
    parser.add_argument("--seeds", metavar="N", help="number of seeds (default: the scale's; small: 3)")
    if several:
        parser.add_argument("--method", metavar="METHOD", action="append", help=f"{_METHOD}; repeatable")
    else:
        parser.add_argument("--method", metavar="METHOD", default="full", help=_METHOD)
    add_method_arg(parser)
    add_place(parser)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add the options that say at which scale, and where."""
    parser.add_argument("--scale", metavar="SCALE", default="small", help="smoke, small (default) or paper")
    parser.add_argument(
        "--cache", metavar="DIR", help="where models are kept (default: CAPBENCH_CACHE or the user cache)"
    )
    parser.add_argument("--device", metavar="DEVICE", default="cpu", help="cpu (default) or cuda")
    parser.add_argument(
        "--jobs", metavar="N", help="trainings at a time, one core each (default: all cores; 1 on cuda)"
    )
    parser.add_argument("--stack", metavar="N", help="train up to N models in one pass (default: 16 on cuda, 1 on cpu)")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what GPTs are trained in."""
    parser.add_argument(
        "--precision", metavar="PRECISION", default="float32", help="of GPTs' trainings: float32 (default) or bfloat16"
    )


def at_once(given: argparse.Namespace) -> AtOnce:
    """Trainings at a time. Raises UsageError for numbers that cannot be."""
    from capbench.pipeline.cores import available_cores
    from capbench.session import running

    return running.at_once("--", given.jobs, given.stack, device=given.device, cores=available_cores())


def add_method_arg(parser: argparse.ArgumentParser) -> None:
    """Add the option that gives a method its arguments."""
    parser.add_argument(
        "--method-arg",
        metavar="KEY=VALUE",
        action="append",
        help="an argument for the method: int, float, true or false, else text; repeatable",
    )
