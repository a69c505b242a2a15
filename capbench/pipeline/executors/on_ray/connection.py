"""Connecting this process to a Ray cluster, and leaving it. Imports Ray."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from capbench.errors import UsageError
from capbench.pipeline import sockets
from capbench.pipeline.executors.on_ray import temp_folder
from capbench.pipeline.executors.on_ray.cluster import RayCluster, check_answers

# No usage statistics; tasks that ask for no GPU keep the devices they see.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

# The bytes that Ray adds to the folder for temporary files.
_OF_RAY = len("/ray/session_2026-01-01_00-00-00_123456_1234567/sockets/plasma_store")


@contextmanager
def connected(cluster: RayCluster, *, cores: int) -> Iterator[None]:
    """Connect to a cluster for the block, without its logs. A cluster started here has `cores` cores and ends with the block.

    An existing connection of this process is used and kept. Raises UsageError for a cluster that cannot be used.
    Afterwards the environment and the handler of SIGTERM are restored, and temporary files of dead workers on this machine are
    removed.
    """
    if ray.is_initialized():
        yield
        return
    given: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if cluster.address is None:
        given |= {"address": "local", "num_cpus": cores, "include_dashboard": False}
        if "RAY_TMPDIR" not in os.environ:
            given["_temp_dir"] = os.path.join(sockets.folder(_OF_RAY), "ray")
    else:
        check_answers(cluster.option, cluster.address)
        given |= {"address": cluster.address}
    logs: Any = ray._private.worker
    enabled = logs._worker_logs_enabled
    logs._worker_logs_enabled = False  # otherwise each lost node prints a page
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    environment = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    try:
        _init(cluster, given)
        yield
    finally:
        ray.shutdown()
        logs._worker_logs_enabled = enabled
        temp_folder.remove_left_behind()
        if in_main and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # Ray installs its own
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _init(cluster: RayCluster, given: dict[str, Any]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**given)
    except Exception as error:  # Ray raises no common class for these
        what = f"{cluster.option}={cluster.address}" if cluster.address else "--capbench-executor=ray"
        raise UsageError(f"{what}: cannot use Ray: {' '.join(str(error).split())[:300]}") from error
