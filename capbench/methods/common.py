"""Shared by several built-in methods: option checks and derived seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from capbench.errors import MethodError


def check(
    method: str, option: str, value: object, must_be: str, ok: Callable[[float], bool], *, whole: bool = False
) -> None:
    """Raises MethodError unless an option is a finite number (whole=True: an int) that satisfies ok; must_be describes it."""
    kinds = (int,) if whole else (int, float)
    number = value if isinstance(value, kinds) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and ok(number)):
        raise MethodError(f"{method}: {option}={value!r} must be {must_be}")


def check_choice(method: str, option: str, value: object, choices: Sequence[str]) -> None:
    """Raises MethodError unless an option is one of these words."""
    if value not in choices:
        raise MethodError(f"{method}: {option}={value!r} must be {' or '.join(choices)}")


def another_seed(seed: int, stream: int) -> int:
    """A seed derived from `seed`, one per stream, independent of what a training with `seed` itself draws."""
    return int(np.random.SeedSequence(seed, spawn_key=(stream,)).generate_state(1)[0])
