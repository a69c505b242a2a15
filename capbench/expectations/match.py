"""An expectation compared with what was found: which entry applies, whether it holds, and how to say so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capbench.expectations.files import UNDECIDABLE, Expectation
from capbench.results import Capability, Record


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one expectation. line: in a few words, after a claim's own line; text: for `Record.expected`."""

    holds: bool
    line: str
    text: str


def matches(pattern: str, name: str) -> bool:
    """Whether the whole name matches the pattern: `*` is any text, `?` one character, everything else itself."""
    special = {"*": ".*", "?": "."}
    parts = (special.get(part) or re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch("".join(parts), name, re.DOTALL) is not None


def find(entries: Sequence[Expectation], name: str) -> Expectation | None:
    """The last entry whose pattern matches; None where none does."""
    return next((entry for entry in reversed(entries) if matches(entry.pattern, name)), None)


def of_claim(entries: Sequence[Expectation], record: Record, *, broken: bool = False) -> Outcome | None:
    """What became of the expectation about a claim; None without one. Nobody expects a broken test."""
    entry = find(entries, record.id)
    if entry is None:
        return None
    verdict = record.verdict
    return _outcome(entry, str(verdict.status), not broken and _fits(entry, str(verdict.status), verdict.reason))


def of_verdict(entries: Sequence[Expectation], found: Capability) -> Outcome | None:
    """What became of the expectation about a capability verdict; None without one."""
    entry = find(entries, found.id)
    if entry is None:
        return None
    holds = _fits(entry, str(found.verdict), found.reason)
    if entry.finetuned:
        holds = holds and str(found.finetuned) in entry.finetuned
    if entry.collateral and found.collateral is not None:
        holds = holds and str(found.collateral.state) in entry.collateral
    return _outcome(entry, str(found.verdict), holds)


def unmatched(entries: Iterable[Expectation], names: Iterable[str]) -> list[Expectation]:
    """The user's own entries that match none of these names."""
    known = list(names)
    return [e for e in entries if e.own and not any(matches(e.pattern, name) for name in known)]


def _fits(entry: Expectation, status: str, reason: str) -> bool:
    if status not in entry.expect:
        return False
    if status == UNDECIDABLE[entry.kind] and entry.because:
        return any(matches(pattern, reason) for pattern in entry.because)
    return True


def _outcome(entry: Expectation, status: str, holds: bool) -> Outcome:
    text = f"{' or '.join(entry.expect)}: {entry.reason}"
    if holds:
        return Outcome(holds=True, line=f"expected {status}: {entry.reason}", text=text)
    wanted = _wanted(entry, status)
    line = f"expected {wanted} ({entry.reason}), so this expectation no longer holds"
    return Outcome(holds=False, line=line, text=f"not met, {text}")


def _wanted(entry: Expectation, status: str) -> str:
    """What was expected and not found, as in `deleted or undecided as 'gone*', fine-tuned task learned, all else kept`."""
    wanted = " or ".join(entry.expect)
    if entry.because and status == UNDECIDABLE[entry.kind]:
        wanted += f" as {' or '.join(map(repr, entry.because))}"
    if entry.finetuned:
        wanted += f", fine-tuned task {' or '.join(entry.finetuned)}"
    if entry.collateral:
        wanted += f", all else {' or '.join(entry.collateral)}"
    return wanted
