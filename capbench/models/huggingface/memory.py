"""How much memory weights take, and whether it is there. Said before any of it is used."""

from __future__ import annotations

from pathlib import Path

import psutil

from capbench.errors import UsageError
from capbench.store.sizes import shown

WEIGHT = 4  # bytes: weights are float32, whatever the files hold
TRAINED = 4 * WEIGHT  # a weight, its gradient and AdamW's two averages


def available() -> int:
    """Bytes that this process can still take: what the machine has, or what is left of its container's limit."""
    free: int = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        most, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return free if most == "max" else min(free, max(0, int(most) - int(used)))


def check(what: str, needed: int) -> None:
    """Raises UsageError if there is less memory than what takes `needed` bytes."""
    there = available()
    if needed > there:
        raise UsageError(f"{what} takes {shown(needed)} of memory, and {shown(there)} is available")
