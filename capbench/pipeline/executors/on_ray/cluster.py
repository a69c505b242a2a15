"""The Ray cluster that a run uses, and checks of its options that need no Ray."""

from __future__ import annotations

import importlib.util
import re
import socket
from dataclasses import dataclass

from capbench.errors import UsageError

TIMEOUT = 5.0  # seconds for an address to answer
GPUS_PER_TASK = 0.25


@dataclass(frozen=True, kw_only=True)
class RayCluster:
    """address: 'host:port' of a cluster that this machine is a node of, or 'auto'; None: start one here, for this run.

    gpus_per_task: the share of a GPU per training, above 0 and at most 1. option: the user's option for the address.
    """

    address: str | None = None
    gpus_per_task: float = GPUS_PER_TASK
    option: str = "--capbench-address"

    def __str__(self) -> str:
        return f"the Ray cluster at {self.address}" if self.address else "its own Ray cluster"


def check_installed(option: str) -> None:
    """Raises UsageError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError(f"{option}=ray: Ray is not installed; pip install 'capbench[ray]'")


def check_address(option: str, address: str) -> None:
    """Raises UsageError for a malformed address."""
    if address != "auto" and not re.fullmatch(r"(ray://)?[^\s/:]+:[0-9]{1,5}", address):
        raise UsageError(
            f"{option}={address}: must be host:port, such as 10.0.0.1:6379 (`ray start --head` prints it), or auto"
        )


def check_answers(option: str, address: str) -> None:
    """Raises UsageError unless something listens there; Ray itself would wait for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=TIMEOUT).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{option}={address}: no Ray cluster answers there ({why})") from None


def gpu_share(option: str, given: str | None) -> float:
    """The share of a GPU per training. Raises UsageError unless it is a number above 0 and at most 1."""
    try:
        share = GPUS_PER_TASK if given is None else float(given)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(
            f"{option}={given}: must be a number above 0 and at most 1, such as 0.25 for four trainings per GPU"
        )
    return share
