"""Seeds of their own for every purpose."""

from __future__ import annotations

import hashlib


def subseed(seed: int, purpose: str) -> int:
    """A seed of its own for every purpose, so that no two streams are the same by accident."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")
