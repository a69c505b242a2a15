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
from capbench.pipeline.executors.on_ray import scratch
from capbench.pipeline.executors.on_ray.where import OnRay, check_answers

# Nobody is told of this run, and devices stay as they are for tasks that ask for none.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@contextmanager
def connected(where: OnRay, *, cores: int) -> Iterator[None]:
    """Be part of a cluster meanwhile, without its logs; one that is started here has so many cores, and ends with it.

    If this process is connected already, that is used, and left as it is. Raises UsageError for a cluster that cannot be used.
    Afterwards, whatever happened, the environment and the handler of SIGTERM are as before, and what dead workers of this
    machine left in the folder for temporary files is removed.
    """
    if ray.is_initialized():
        yield
        return
    given: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if where.address is None:
        given |= {"address": "local", "num_cpus": cores, "include_dashboard": False}
    else:
        check_answers(where.option, where.address)
        given |= {"address": where.address}
    logs: Any = ray._private.worker
    enabled = logs._worker_logs_enabled
    logs._worker_logs_enabled = False  # each lost node would be a page on the terminal
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    environment = {name: os.environ.get(name) for name in _QUIET}
    os.environ.update(_QUIET)
    try:
        _init(where, given)
        yield
    finally:
        ray.shutdown()
        logs._worker_logs_enabled = enabled
        scratch.sweep()
        if in_main and handler is not None:
            signal.signal(signal.SIGTERM, handler)  # Ray puts one of its own there
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _init(where: OnRay, given: dict[str, Any]) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(**given)
    except Exception as error:  # Ray has no class of its own for these
        what = f"{where.option}={where.address}" if where.address else "--capbench-executor=ray"
        raise UsageError(f"{what}: Ray cannot be used: {' '.join(str(error).split())[:300]}") from error
