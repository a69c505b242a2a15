"""The cores of this machine: how many there are, and one thread for each process."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads() -> None:
    """One thread per process: small models gain nothing from two, processes that share cores lose a factor of seven

    to spinning threads, and results stay the same however many processes there are.
    """
    import torch

    torch.set_num_threads(1)
    keep_memory()


def keep_memory() -> None:
    """Have the C library keep what is freed: a training asks for the same few megabytes again at every step, and getting

    them from the system each time costs a few per cent of it, at bad moments far more. Only glibc knows how.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 1 << 30)):
            mallopt(parameter, value)
