"""The functions that a RASP program applies at every position, as data fully described by their fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from capbench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Rank:
    """The index of a token in `values`; turns letters into numbers."""

    values: tuple[str | int, ...]

    def __call__(self, x: Any) -> int:
        return self.values.index(x)


@dataclass(frozen=True, kw_only=True)
class Affine:
    """int(a x + b) modulo `modulo`."""

    a: int
    b: int
    modulo: int

    def __post_init__(self) -> None:
        _require_modulo(self.modulo)

    def __call__(self, x: Any) -> int:
        return int(self.a * x + self.b) % self.modulo


@dataclass(frozen=True, kw_only=True)
class AtLeast:
    """Indicator: 1 if x >= value, 0 if not."""

    value: float

    def __call__(self, x: Any) -> int:
        return int(x >= self.value)


@dataclass(frozen=True, kw_only=True)
class Line:
    """slope x + intercept."""

    slope: float
    intercept: float

    def __call__(self, x: Any) -> float:
        value: float = self.slope * x + self.intercept
        return value


@dataclass(frozen=True, kw_only=True)
class Mix:
    """(a x + b y) modulo `modulo`, a function of two values."""

    a: int
    b: int
    modulo: int

    def __post_init__(self) -> None:
        _require_modulo(self.modulo)

    def __call__(self, x: Any, y: Any) -> int:
        mixed: int = (self.a * x + self.b * y) % self.modulo
        return mixed


Function = Rank | Affine | AtLeast | Line


def _require_modulo(modulo: object) -> None:
    if not isinstance(modulo, int) or modulo < 1:
        raise UsageError(f"modulo {modulo!r} must be a whole number, 1 or more")
