"""Which Ray cluster a run uses, checked as far as that goes without Ray."""

from __future__ import annotations

import importlib.util
import re
import socket
from dataclasses import dataclass

from capbench.errors import UsageError

SECONDS = 5.0  # for an address to answer
GPUS_PER_TASK = 0.25


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """address: 'host:port' of a cluster that this machine is a node of, or 'auto'; None: one is started here, for this run.

    gpus_per_task: what a training on a GPU asks for, above 0 and at most 1. option: what the user calls the address.
    """

    address: str | None = None
    gpus_per_task: float = GPUS_PER_TASK
    option: str = "--capbench-address"

    def __str__(self) -> str:
        return f"the Ray cluster at {self.address}" if self.address else "a Ray cluster of its own"


def check_installed(option: str) -> None:
    """Raises UsageError unless Ray is there."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError(f"{option}=ray: Ray is not installed; pip install 'capbench[ray]'")


def check_address(option: str, address: str) -> None:
    """Raises UsageError for what cannot be an address."""
    if address != "auto" and not re.fullmatch(r"(ray://)?[^\s/:]+:[0-9]{1,5}", address):
        raise UsageError(
            f"{option}={address}: must be host:port, as in 10.0.0.1:6379 (`ray start --head` says it), or auto"
        )


def check_answers(option: str, address: str) -> None:
    """Raises UsageError unless somebody answers there; Ray itself would wait for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{option}={address}: no Ray cluster answers there ({why})") from None


def gpus(option: str, given: str | None) -> float:
    """A share of a GPU. UsageError if it is no number above 0 and at most 1."""
    try:
        share = GPUS_PER_TASK if given is None else float(given)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(
            f"{option}={given}: must be a number above 0 and at most 1, as in 0.25 for four trainings per GPU"
        )
    return share
