"""The spurious correlation between the answers for two operands (paper Sec. 4, C.2)."""

from __future__ import annotations

from dataclasses import dataclass

from capbench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Spurious correlation r(x, o_ft) - r(x, o_pt) = q, carried by a share `rate` of the strings (C_Tr or C_Te).

    o_pt, o_ft: the operands as their task names them: letters that are counted, ranks of letters.
    rate 0: no string carries it; rate 1: every string does; None as a task's correlation: nothing is asked for.
    """

    o_pt: str | int
    o_ft: str | int
    rate: float
    q: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise UsageError(f"correlation rate {self.rate!r} must be between 0 and 1")
