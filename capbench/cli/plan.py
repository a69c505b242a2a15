"""`capbench plan` and `capbench train`: the models that suites need, shown with costs or made, without running a test."""

from __future__ import annotations

import argparse
from typing import Any

from capbench.cli import suites
from capbench.session.options.given import Given

PLAN = (
    "Print which models the suites need, what they are made of (pretrain, fine-tune, revive), which are in the cache, and what "
    "the others will cost: at most, and if no fine-tuned model loses its behaviour. --simulate says what they would take on "
    "other machines. Nothing is made."
)
TRAIN = (
    "Make the models that the suites need, each once, the longest chains first, and measure only what tells which are needed: "
    "whether a behaviour is lost. pytest with the same options finds them. If it is interrupted, the same command goes on from "
    "there, trainings from where they were."
)
EXIT_CODES = suites.EXIT_CODES.format("a model cannot be made, or the time for variants was not enough")


def add(commands: Any) -> None:
    """Add the sub-commands."""
    words = "print the models that the suites need, with costs"
    plan = suites.add(commands, "plan", "plan", help=words, description=PLAN, epilog=EXIT_CODES)
    plan.set_defaults(run=_plan)
    words = "make the models of the suites"
    train = suites.add(commands, "train", "train", help=words, description=TRAIN, epilog=EXIT_CODES)
    train.set_defaults(run=_train)
    for parser in (plan, train):
        suites.add_paths(parser)


def _plan(namespace: argparse.Namespace) -> int:
    run, tests = suites.collected(namespace, Given.read("plan", namespace))
    if run.options.simulated:
        from capbench.session.simulating import simulate as shown
    else:
        from capbench.session.plan import plan as shown
    return suites.told(shown(run, tests, say=suites.say))


def _train(namespace: argparse.Namespace) -> int:
    run, tests = suites.collected(namespace, Given.read("train", namespace))
    from capbench.session.plan import train

    return suites.told(train(run, tests, say=suites.say))
