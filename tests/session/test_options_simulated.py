"""The machines of `capbench plan --simulate`, from its options."""

from __future__ import annotations

from typing import Any

import pytest

from capbench.errors import UsageError
from capbench.pipeline.cores import available_cores
from capbench.pipeline.simulation.machines import Cluster, Machines, Stacks, Workers
from capbench.session.options.at_once import at_once
from capbench.session.options.given import Given
from capbench.session.options.simulated import Simulated, simulated

CUDA = {"device": "cuda"}


def of(**texts: Any) -> Simulated | None:
    given = Given("plan", {"simulate": True, **{name.replace("_", "-"): text for name, text in texts.items()}})
    found = given.checked()
    return simulated(given, found, at_once(given, found))


@pytest.mark.parametrize(
    ("texts", "machines"),
    [
        ({}, Workers(cores=available_cores())),
        ({"jobs": "7"}, Workers(cores=7)),
        ({"jobs": "7", "cores": "3"}, Workers(cores=3)),
        ({"stack": "4"}, Stacks(most=4)),
        ({"nodes": "3", "cores": "2"}, Cluster(nodes=3, cores=2)),
        (CUDA, Stacks(most=16)),
        ({**CUDA, "stack": "4"}, Stacks(most=4)),
        ({**CUDA, "nodes": "2", "cores": "8"}, Cluster(nodes=2, cores=8, gpus=1, share=0.25)),
        ({**CUDA, "gpus": "2", "cores": "8"}, Cluster(nodes=1, cores=8, gpus=2, share=0.25)),
        ({**CUDA, "gpus_per_task": "0.5", "cores": "8"}, Cluster(nodes=1, cores=8, gpus=1, share=0.5)),
    ],
    ids=str,
)
def test_machines_are_used_as_the_executors_would(texts: dict[str, str], machines: Machines) -> None:
    """One machine by its processes, one GPU in stacks, several of either as a Ray cluster. This machine needs no GPU."""
    found = of(**texts)
    assert found is not None and found.machines == machines
    assert found.cluster == machines or (found.cluster.nodes == 1 and not isinstance(machines, Cluster))


def test_nothing_is_supposed_without_the_option() -> None:
    given = Given("plan", {})
    assert simulated(given, given.checked(), at_once(given, given.checked())) is None


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"nodes": "0"}, "--nodes=0: must be a whole number of at least 1"),
        ({"gpus": "2"}, "--gpus=2 needs --device=cuda, as models train on --device=cpu"),
        (
            {"method": ["full", "bitfit"], "methods": "1"},
            "--methods=1: must be at least 2, as so many are given with --method",
        ),
        (
            {"stack": "2", "nodes": "3"},
            "--stack=2 cannot be combined with --nodes=3: models train one by one on a Ray cluster; omit one of them",
        ),
        (
            {**CUDA, "stack": "2", "gpus": "3"},
            "--stack=2 cannot be combined with --gpus=3: models train one by one on a Ray cluster; omit one of them",
        ),
        ({"format": "html"}, "--format=html: unknown format; known: text, json"),
    ],
)
def test_what_does_not_go_together_is_told(texts: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        of(**texts)
    assert str(error.value) == said


def test_what_describes_machines_needs_a_simulation() -> None:
    with pytest.raises(UsageError) as error:
        Given("plan", {"nodes": "2"}).checked()
    assert str(error.value) == "--nodes=2 needs --simulate"
