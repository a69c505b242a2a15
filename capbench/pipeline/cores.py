"""The cores of this machine: how many this process may use, and one thread per process."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads() -> None:
    """One thread per process.

    Small models gain nothing from two; processes that share cores lose a factor of seven to spinning threads; and results do
    not depend on the number of processes.
    """
    import torch

    torch.set_num_threads(1)
    keep_memory()


def keep_memory() -> None:
    """Make the C library keep freed memory (glibc only).

    A training allocates the same few megabytes at every step; getting them from the system each time costs a few per cent,
    sometimes far more.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30)):
            mallopt(parameter, value)
