"""When a comparison counts as a regression: what --fail-on takes, and what it finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from capbench.compare.quantities import moved
from capbench.compare.rows import ClaimRow, Comparison, Outcome, VerdictRow
from capbench.errors import UsageError
from capbench.report.words import line

FORMS = "verdict, status, margin:-0.05 (or another number of at most 0) or none"
SHOWN = 6  # rows named in the one line; the tables show all


@dataclass(frozen=True, kw_only=True)
class Gate:
    """status: a claim's status got worse; verdict: that, or a capability verdict changed; fall: a margin fell by more.

    Each only by more than rounding can do.
    """

    words: tuple[str, ...]
    verdict: bool = False
    status: bool = False
    fall: float | None = None

    @classmethod
    def parse(cls, option: str, given: Sequence[str] | None) -> Gate:
        """From the forms as given (default: verdict), which may be combined. UsageError quotes an unknown one."""
        forms = tuple(dict.fromkeys(given or ("verdict",)))
        if "none" in forms and len(forms) > 1:
            raise UsageError(
                f"{option}=none cannot be combined, but {', '.join(forms)} were given; omit none or the others"
            )
        falls = [_fall(option, form) for form in forms if form not in ("verdict", "status", "none")]
        return cls(
            words=forms,
            verdict="verdict" in forms,
            status="verdict" in forms or "status" in forms,
            fall=min(falls) if falls else None,  # the strictest of several
        )

    def found(self, comparison: Comparison) -> tuple[str, ...]:
        """What counts as a regression, one text per claim or verdict. Nothing provisional does, nor what rounding can do."""
        claims = [f"{line(row.id)} {_end(row)}" for row in comparison.claims if self._fails(row)]
        verdicts = [_verdict(row) for row in comparison.verdicts if self.verdict and row.regressed]
        return (*claims, *verdicts)

    def _fails(self, row: ClaimRow) -> bool:
        return (self.status and row.regressed) or (self.fall is not None and row.fell_by(self.fall))


def sentence(failed: Sequence[str], gate: Gate) -> str:
    """The last line of a comparison with a regression."""
    more = [f"and {len(failed) - SHOWN} more"] if len(failed) > SHOWN else []
    return f"regression (fail on {', '.join(gate.words)}): {'; '.join([*failed[:SHOWN], *more])}"


def _fall(option: str, form: str) -> float:
    """`margin:-0.05` as 0.05."""
    kind, _, text = form.partition(":")
    if kind == "margin":
        with suppress(ValueError):
            if math.isfinite(value := float(text)) and value <= 0:
                return -value
    raise UsageError(f"{option}={form}: unknown form; known: {FORMS}")


def _end(row: ClaimRow) -> str:
    if row.outcome is Outcome.ONLY_A:
        return "is only in A"
    if row.status_a is not row.status_b:
        return f"{row.status_a} → {row.status_b}"
    return f"margin {moved(row.kind, row.change)}"


def _verdict(row: VerdictRow) -> str:
    name = line(row.id)
    if row.outcome is Outcome.ONLY_A:
        return f"{name} is only in A"
    changes = {
        "verdict": ("", row.verdict_a, row.verdict_b),
        "fine-tuned task": ("fine-tuned task ", row.finetuned_a or "between", row.finetuned_b or "between"),
        "collateral": ("collateral ", row.collateral_a, row.collateral_b),
    }
    ends = [f"{words}{a} → {b}" for what in row.beyond for words, a, b in [changes[what]]]
    return f"{name} {', '.join(ends)}"
