"""The cache of a run or a command, and how its place was given."""

from __future__ import annotations

import os
from pathlib import Path

from capbench.errors import UsageError
from capbench.session.options.given import Given
from capbench.store.store import Store


def cache_shown(given: Given) -> str:
    """The option with its value, the environment's variable if it gave the place, or the option alone."""
    set_by = os.environ.get("CAPBENCH_CACHE")
    return given.shown("cache") if given.text("cache") or not set_by else f"CAPBENCH_CACHE={set_by}"


def opened(root: Path, shown: str) -> Store:
    """The store there. Raises UsageError, which names how the place was given, if it cannot be used."""
    try:
        return Store(root)
    except UsageError as error:
        raise UsageError(f"{shown}: {error}") from None
