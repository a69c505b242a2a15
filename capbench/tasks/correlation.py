"""The spurious correlation between the answers for two operands (paper Sec. 4, C.2), and weaker relations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from capbench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Relation = Literal["offset", "parity", "presence", "order"]


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Spurious correlation of r(x, o_ft) with r(x, o_pt), present in a share `rate` of the strings (C_Tr or C_Te).

    o_pt, o_ft: the operands as their task names them: counted letters, ranks of letters.
    rate 0: no string has it; rate 1: every string has it. A task whose correlation is None imposes nothing.
    relation: the kind of correlation:
      offset    r(x, o_ft) - r(x, o_pt) = q, any whole number (the paper's)
      parity    r(x, o_ft) - r(x, o_pt) is odd (q = 1) or even (q = 0)
      presence  both answers are 0 or neither is: o_ft occurs where o_pt does
      order     r(x, o_ft) > r(x, o_pt)
    presence and order have no q; it must stay at 1, so that equal correlations compare equal. Raises UsageError otherwise.
    """

    o_pt: str | int
    o_ft: str | int
    rate: float
    q: int = 1
    relation: Relation = "offset"

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise UsageError(f"correlation rate {self.rate!r} must be between 0 and 1")
        if self.relation not in get_args(Relation):
            raise UsageError(f"unknown correlation {self.relation!r}; known: {', '.join(get_args(Relation))}")
        if self.o_pt == self.o_ft:
            raise UsageError(f"correlation between operands {self.o_pt!r} and {self.o_ft!r}: they must differ")
        if isinstance(self.q, bool) or not isinstance(self.q, int):
            raise UsageError(f"correlation q = {self.q!r} must be a whole number")
        if self.relation == "parity" and self.q not in (0, 1):
            raise UsageError(
                f"correlation q = {self.q!r}: with parity it must be 0 (even difference) or 1 (odd difference)"
            )
        if self.relation in ("presence", "order") and self.q != 1:
            raise UsageError(f"correlation q = {self.q!r}: {self.relation} has no q; leave it at 1")

    @property
    def determines(self) -> bool:
        """Whether the answer for o_pt determines that for o_ft where the correlation holds."""
        return self.relation == "offset"

    def holds(self, pt: np.ndarray, ft: np.ndarray) -> np.ndarray:
        """Which strings have it, bool [n], given their answers for o_pt and for o_ft, signed integers [n]."""
        held: np.ndarray
        if self.relation == "offset":
            held = ft - pt == self.q
        elif self.relation == "parity":
            held = (ft - pt) % 2 == self.q
        elif self.relation == "presence":
            held = (ft > 0) == (pt > 0)
        else:
            held = ft > pt
        return held
