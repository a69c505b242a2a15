"""Numbers of bytes as people say them."""

from __future__ import annotations


def shown(n: float) -> str:
    """Bytes in the unit that reads best, as in 538 MB."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while n >= 999.5 and unit != "TB":
        n, unit = n / 1000, next(units)
    return f"{n:.3g} {unit}"
