"""Make the models that are missing, and say how far that is."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping

from capbench.pipeline.cores import limit_threads
from capbench.pipeline.costs import Costs
from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan
from capbench.pipeline.snapshots import remove_finished
from capbench.session.loggers.base import Loggers
from capbench.session.loggers.following import Following
from capbench.session.options.at_once import AtOnce
from capbench.session.progress import Making, bar
from capbench.session.time_left import TimeLeft
from capbench.store.leases import hold
from capbench.store.store import DamagedArtefact, Store
from capbench.zoo import bundle


def make(
    plan: Plan,
    store: Store,
    *,
    at_once: AtOnce,
    say: Callable[[str], None],
    deadline: float = math.inf,
    bundled: bool = True,
    ray: RayCluster | None = None,
    quiet: bool = False,
    loggers: Loggers | None = None,
) -> dict[str, str]:
    """Make a plan's missing models, and report progress. Returns step key -> one line for each that failed.

    What there was no time for before the deadline (seconds of time.monotonic()) stays missing. bundled: take base models from the
    package, and the curves of revivals that hang on no method, where it has them. ray: the cluster that makes the others.
    quiet: say what failed, but not how far it is. loggers: are told the curves of the plan's models.
    Raises UsageError for a cluster that cannot be used.
    """
    jobs, stack = at_once.jobs, at_once.stack
    limit_threads()
    remove_finished(store)
    hold(store, plan.steps)
    with warnings.catch_warnings(record=True) as damaged:
        warnings.simplefilter("always", DamagedArtefact)
        missing = plan.missing(store)
    for warning in damaged:
        say(f"capbench: warning: {warning.message}")
    if bundled and missing:
        filled = bundle.fill(store, missing)
        for words in filled.warnings:
            say(f"capbench: warning: {words}")
        if words := str(filled):
            say(f"capbench: {words} taken from the package")
        missing = [step for step in missing if step.key not in filled.taken]
    following = Following(plan, store, loggers or Loggers(), say=say)
    following.look()
    if not missing:
        return {}
    if store.has_weak_locks:
        say(
            "capbench: warning: the cache's file system has no locks, files stand in for them; a killed run may leave one, as "
            f"{str(store.root / 'locks' / 'KEY.held')!r}, which keeps later runs waiting until you remove it"
        )
    costs = Costs(plan, store, missing, stack=stack)
    steps = f"{costs.steps} training steps"
    if kept := sum(costs.kept.values()):
        steps += f"; {kept} more are kept from an interrupted run"
    about = f": {words}" if (words := costs.about(jobs)) else ""
    how = f"up to {stack} in one pass{about}" if stack > 1 else f"{jobs} at a time{about}"
    if ray is not None:
        how = f"on {ray}" if ray.address else f"on {ray}, {how}"
    say(f"capbench: {len(missing)} of {len(plan.steps)} models to make ({steps}), {how}")
    began = time.monotonic()
    time_left = TimeLeft(plan, store, missing, jobs=jobs, stack=stack)
    with bar(costs.steps, quiet=quiet, alike=False) as show:
        making = Making(len(missing), say, time_left.seconds, note=show.note, quiet=quiet)

        def progress(steps: int) -> None:
            show(steps)
            making.trained()
            following.now_and_then()

        def watch(waiting: int, running: int, errors: Mapping[str, str]) -> None:
            making.saw(waiting, running, errors)
            following.now_and_then()

        errors = plan.run(store, jobs=jobs, stack=stack, progress=progress, watch=watch, deadline=deadline, ray=ray)
    following.look()
    took = f"made in {time.monotonic() - began:.0f} s"
    left = [step for step in missing if step.key not in errors and not store.has(step.key)]
    made = f"{len(missing) - len(errors) - len(left)} models" if errors or left else "models"
    failed = f"; {len(errors)} could not be made" if errors else ""
    say(f"capbench: {made} {took}{failed}{f'; no time for {len(left)} more' if left else ''}")
    return errors
