"""Steps on a Ray cluster: the same bits as here. CAPBENCH_THOROUGH=1: two nodes, nothing twice, whatever is lost or killed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fresh import printed
from ray_methods import Methods, contents, steps
from tiny_study import START, revived

from capbench.pipeline.executors.on_ray.cluster import RayCluster
from capbench.pipeline.plan import Plan
from capbench.store.store import Store

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
ALONE = "CAPBENCH_RAY_TEST_ALONE"


@pytest.mark.slow
def test_all_is_made_as_it_is_here_and_an_error_is_told(tmp_path: Path) -> None:
    """In a process of its own: Ray forks, which one that other tests have filled with threads (jax's, say) may not survive."""
    errors = json.loads(
        printed(
            f"from pathlib import Path\nimport ray_methods\nray_methods.on_a_cluster(Path({str(tmp_path)!r}))", tmp_path
        )
    )
    good, breaks = steps(tmp_path)
    assert errors.keys() == {breaks.key, revived(breaks).key}
    assert "method 'mine.py:breaks' failed: ValueError: two lines (mine.py:" in errors[breaks.key]
    assert "begin plain here" not in (tmp_path / "log").read_text()  # but on a node
    plan, here = Plan([revived(good)]), Store(tmp_path / "here")
    assert plan.run(here, jobs=1) == {}
    assert contents(plan, Store(tmp_path / "ray")) == contents(plan, here)


@pytest.fixture
def methods(tmp_path: Path) -> Methods:
    return Methods(tmp_path)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """One node of one core, whose head looks after the others more often than it would."""
    from ray.cluster_utils import Cluster

    often = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    found = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": often}
    )
    yield found
    found.shutdown()


@pytest.mark.skipif(ALONE in os.environ, reason="this is the process that it starts")
@pytest.mark.skipif(not os.environ.get("CAPBENCH_THOROUGH"), reason="starts a Ray cluster of two nodes: half a minute")
def test_whatever_is_lost() -> None:
    """In a process of its own: Ray forks, which one that other tests have filled with threads (jax's, say) may not survive."""
    name = "test_whatever_is_lost_all_is_made_once_and_as_it_is_here"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"{__file__}::{name}"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("PYTEST_")}
    ended = subprocess.run(command, env={**environment, ALONE: "1"}, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0 and "1 passed" in ended.stdout, ended.stdout[-4000:] + ended.stderr[-2000:]


@pytest.mark.skipif(ALONE not in os.environ, reason="has a process of its own")
def test_whatever_is_lost_all_is_made_once_and_as_it_is_here(cluster: Any, methods: Methods, tmp_path: Path) -> None:
    """First each of two nodes makes one of a1 and a2; then each is at one of x1 and x2, and one node is killed.

    One method fails, one kills its own process.
    """
    node = cluster.add_node(num_cpus=1)
    place = str(node.all_processes["raylet"][0].process.pid)
    tasks = {name: methods.tuned("method", name=name, lasts=name[0] == "x") for name in ("a1", "a2", "x1", "x2")}
    breaks, dies = methods.tuned("breaks"), replace(methods.tuned("dies"), base=START)
    plan = Plan([revived(step) for step in (*tasks.values(), breaks, dies)])
    store, ticks = Store(tmp_path / "ray"), list[int]()

    def kill() -> None:
        while not (methods.said("begin", "x1") and methods.said("begin", "x2")):
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)
        methods.folder.joinpath("gone").write_text(place)
        methods.folder.joinpath("gone").rename(methods.folder / "go")

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    errors = plan.run(store, jobs=1, progress=ticks.append, ray=RayCluster(address=cluster.address))
    killer.join()

    failed = {step.key for step in (breaks, revived(breaks), dies, revived(dies))}
    assert errors.keys() == failed and errors[dies.key] == errors[revived(dies).key]
    assert dies.label in errors[dies.key] and "died" in errors[dies.key]
    deaths = methods.said("begin", "dies")
    assert 2 <= len(deaths) <= 2 + deaths.count(place)  # those on a node that is lost are forgiven
    assert "method 'mine.py:breaks' failed: ValueError: two lines (mine.py:" in errors[breaks.key]

    assert len(methods.said("begin", "a1") + methods.said("begin", "a2")) == 2  # on either node, and kept
    assert place in methods.said("end", "a1") + methods.said("end", "a2")
    begun = methods.said("begin", "x1") + methods.said("begin", "x2")
    assert len(begun) == 3 and begun.count(place) == 1  # what was under way there began anew
    assert [len(methods.said("end", name)) for name in tasks] == [1, 1, 1, 1]
    made = [step for key, step in plan.steps.items() if key not in failed]
    assert plan.missing(store) == [s for s in plan.in_order() if s.key in failed]
    assert sum(ticks) >= sum(step.cost for step in made)

    here = Store(tmp_path / "here")
    assert Plan(made).run(here, jobs=1) == {}
    assert contents(plan, store) == contents(Plan(made), here)
