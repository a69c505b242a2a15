"""What every number of a result must be: finite, or missing."""

from __future__ import annotations

import math


def require_finite(name: str, *values: float | None) -> None:
    """Checked where values arise: a NaN found only when the report is written would cost the whole run."""
    for value in values:
        if value is not None and not math.isfinite(value):
            raise ValueError(f"{name or 'a result'} must be a finite number or None, got {value!r}")


def require_bound(name: str, value: float | None, bound: str) -> None:
    if bound not in ("", ">=", "<="):
        raise ValueError(f"{name or 'a result'}: bound {bound!r} must be '>=', '<=' or ''")
    if bound and value is None:
        raise ValueError(f"{name or 'a result'}: a bound needs a value, got bound {bound!r} and no value")
