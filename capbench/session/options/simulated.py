"""The machines that `capbench plan --simulate` supposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from capbench.errors import UsageError
from capbench.pipeline.cores import available_cores
from capbench.pipeline.executors.on_ray.cluster import GPUS_PER_TASK
from capbench.pipeline.simulation.machines import Cluster, Machines, Stacks, Workers
from capbench.session.options.at_once import AtOnce
from capbench.session.options.given import Given


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A plan is not made, but scheduled.

    machines: that it is scheduled on; cluster: one of such machines, on a Ray cluster. methods: how many there are, those beyond
    the given ones like them; None: the given ones. empty_cache: as if no model were in the cache. as_json: how it is told.
    """

    machines: Machines
    cluster: Cluster
    methods: int | None
    empty_cache: bool
    as_json: bool


def simulated(given: Given, found: Mapping[str, Any], at_once: AtOnce) -> Simulated | None:
    """What is asked for, if anything is. found: the checked values. Raises UsageError for values that do not go together."""
    if not found.get("simulate"):
        return None
    asked, methods = found["methods"], len(found["method"])
    if asked is not None and asked < methods:
        raise UsageError(
            f"{given.shown('methods')}: must be at least {methods}, as so many are given with {given.typed('method')}"
        )
    device, gpus = given.typed("device"), found["gpus"]
    if gpus and found["device"] == "cpu":
        raise UsageError(f"{given.shown('gpus')} needs {device}=cuda, as models train on {device}=cpu")
    if gpus is None:
        gpus = 0 if found["device"] == "cpu" else 1
    on_a_cluster = found["nodes"] > 1 or gpus > 1 or found["gpus-per-task"]
    if on_a_cluster and given.text("stack"):
        other = given.shown("nodes" if found["nodes"] > 1 else "gpus")
        raise UsageError(
            f"{given.shown('stack')} cannot be combined with {other}: models train one by one on a Ray cluster; omit one of them"
        )
    cores = found["cores"] or found["jobs"] or available_cores()
    share = found["gpus-per-task"] or GPUS_PER_TASK
    cluster = Cluster(nodes=found["nodes"], cores=cores, gpus=gpus, share=share)
    return Simulated(
        machines=cluster if on_a_cluster else _one(cores, gpus, at_once),
        cluster=cluster,
        methods=asked,
        empty_cache=found["empty-cache"],
        as_json=found["format"] == "json",
    )


def _one(cores: int, gpus: int, at_once: AtOnce) -> Machines:
    """One machine, used without a cluster."""
    return Stacks(most=at_once.stack) if gpus or at_once.stack > 1 else Workers(cores=cores)
