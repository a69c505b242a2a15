"""Where in a model something is tried that is too dear to be tried everywhere."""

from __future__ import annotations


def spread(n: int, most: int) -> list[int]:
    """At most `most` of the blocks 0 … n - 1, evenly apart, the last one among them; none of a model without blocks."""
    if n <= most:
        return list(range(n))
    return sorted({round((i + 1) * n / most) - 1 for i in range(most)})
