"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """check: its name. ok: False where the suites could not trust the method. note: worth knowing, but no mistake in itself.

    message: one line.
    """

    check: str
    ok: bool
    message: str
    note: bool = False

    @property
    def mark(self) -> str:
        """`ok`, `note` or `FAIL`."""
        return "FAIL" if not self.ok else "note" if self.note else "ok"
