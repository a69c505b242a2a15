"""What a bundled model is, whatever the version of the code that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from capbench.store.keys import key_of


def without_code(config: Mapping[str, Any]) -> str:
    """A hash of a bundled model's configuration, its start's included, in which the code does not count."""
    start = dict(config.get("start") or {})
    architecture = str(start.get("architecture", "Gpt")).partition("@")[0]  # before it had a name there was one only
    return key_of({**config, "code": "", "start": {**start, "code": "", "architecture": architecture}})
