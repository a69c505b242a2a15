"""How much memory weights and a step of training take, and whether it is there."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from capbench.errors import UsageError
from capbench.store.sizes import shown

WEIGHT = 4  # bytes: weights are float32, whatever the files hold
TRAINED = 4 * WEIGHT  # a weight, its gradient and AdamW's two averages
# Bytes that a block keeps of a token for the backward pass, by d_model. Measured: 74 (GPT-NeoX), 81 (Llama), 114 (GPT-2).
KEPT = 100
SHARE = 0.5  # of what is available, that they may take


def available() -> int:
    """Bytes that this process can still take: what the machine has, or what is left of its container's limit."""
    free: int = psutil.virtual_memory().available
    group = Path("/sys/fs/cgroup")
    try:
        most, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return free
    return free if most == "max" else min(free, max(0, int(most) - int(used)))


def available_on(device: str | torch.device) -> int:
    """Bytes that can still be taken there; on a GPU without what torch holds and does not use."""
    return available() if torch.device(device).type == "cpu" else torch.cuda.mem_get_info(device)[0]


def has_room(n_tokens: int, *, n_blocks: int, d_model: int, device: torch.device) -> bool:
    """Whether all that the blocks keep of so many tokens for a backward pass leaves room for the rest."""
    return KEPT * n_tokens * n_blocks * d_model <= SHARE * available_on(device)


def check(what: str, needed: int) -> None:
    """Raises UsageError if there is less memory than what takes `needed` bytes."""
    there = available()
    if needed > there:
        raise UsageError(f"{what} takes {shown(needed)} of memory, and {shown(there)} is available")
