"""The scales that every study may have: their names, and what is common to all studies. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from capbench.errors import UsageError

# What `--capbench-scale` chooses from, with the number of seeds by default. smoke: for this project's own CI, minutes. small:
# real effects on a 2-core CPU. paper: the paper's own numbers, on a GPU (compiled models also on a CPU).
SCALES: Mapping[str, int] = {"smoke": 1, "small": 3, "paper": 3}

P = TypeVar("P")


def at_scale(presets: Mapping[str, Callable[[], P]], scale: str) -> P:
    """A study's preset for a scale. Raises UsageError, one line, for a scale that the study does not have."""
    if scale not in presets:
        raise UsageError(f"it has no scale {scale!r}; it has {', '.join(presets)}")
    return presets[scale]()
