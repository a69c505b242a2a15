"""What another precision changes: two runs claim by claim, in units of a claim's own uncertainty. Rests on `capbench compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from capbench.compare.rows import ClaimRow
from capbench.compare.runs import compare
from capbench.report.words import number
from capbench.results import Record, Results
from speed.rows import Row, row


@dataclass(frozen=True, kw_only=True)
class Change:
    """One claim or capability verdict, in float32 and in the other precision.

    difference: of the claim's margin, positive if better for it; None where it cannot be said (invalid, or another condition
    decides). margin: in float32, what the difference would have to use up. width: of the claim's 95 % interval over seeds.
    """

    id: str
    verdicts: tuple[str, str]
    effects: tuple[float | None, float | None] = (None, None)
    threshold: float | None = None
    margin: float | None = None
    width: float | None = None
    difference: float | None = None

    @property
    def changed(self) -> bool:
        return self.verdicts[0] != self.verdicts[1]

    @property
    def in_widths(self) -> float | None:
        """None without an interval, and for one that is a point."""
        return _share(self.difference, self.width)

    @property
    def in_margins(self) -> float | None:
        """Below 1 the effect stays on its side of the threshold."""
        return _share(self.difference, self.margin)


@dataclass(frozen=True, kw_only=True)
class Changes:
    """All of two runs: claims that rest on models, and capability verdicts."""

    claims: tuple[Change, ...]
    capabilities: tuple[Change, ...]

    @property
    def changed(self) -> tuple[Change, ...]:
        return tuple(c for c in (*self.claims, *self.capabilities) if c.changed)


def changes(float32: Results, other: Results, intervals: Results | None = None) -> Changes:
    """The second run beside the first. intervals: a run whose intervals stand in where the first has a single seed.

    A claim about the data alone, which no precision can change, is left out.
    """
    found = compare(float32, other)
    own, spare = _by_name(float32), _by_name(intervals)
    claims = [_claim(line, own.get(_name(line)), spare.get(_name(line))) for line in found.claims]
    return Changes(
        claims=tuple(claim for claim in claims if claim is not None),
        capabilities=tuple(
            Change(
                id=line.id,
                verdicts=(
                    f"{line.verdict_a}, {line.finetuned_a or '-'}",
                    f"{line.verdict_b}, {line.finetuned_b or '-'}",
                ),
            )
            for line in found.verdicts
        ),
    )


def _claim(line: ClaimRow, own: Record | None, spare: Record | None) -> Change | None:
    if own is not None and not own.artefacts:
        return None
    width = _width(own)
    if width is None and own and spare and own.verdict.what == spare.verdict.what:
        width = _width(spare)
    return Change(
        id=line.id,
        verdicts=(str(line.status_a), str(line.status_b)),
        effects=(line.effect_a, line.effect_b),
        threshold=line.threshold_a,
        margin=own.verdict.margin if own else None,
        width=width,
        difference=line.change,
    )


def _width(record: Record | None) -> float | None:
    ci = record.verdict.ci if record else None
    return ci[1] - ci[0] if ci else None


def _by_name(results: Results | None) -> Mapping[tuple[str, str, str], Record]:
    return {_name(record): record for record in results.records} if results else {}


def _name(of: Record | ClaimRow) -> tuple[str, str, str]:
    return of.id, of.model, of.task


def _share(difference: float | None, of: float | None) -> float | None:
    return None if difference is None or not of else abs(difference / of)


def text(found: Changes, names: tuple[str, str]) -> str:
    """For a terminal: every claim and capability verdict in both, then the totals."""
    lines = [
        [
            claim.id,
            *claim.verdicts,
            *map(number, claim.effects),
            number(claim.threshold),
            number(claim.difference, sign=True),
            number(claim.in_widths),
            number(claim.in_margins),
        ]
        for claim in found.claims
    ]
    head = ["claim", *names, *(f"effect, {name}" for name in names), "threshold", "change of margin", "in intervals"]
    parts = [tabulate(lines, headers=[*head, "in margins"], disable_numparse=True)]
    if found.capabilities:
        lines = [[capability.id, *capability.verdicts] for capability in found.capabilities]
        parts.append(tabulate(lines, headers=["capability", *names]))
    parts.append("\n".join(summary(found)))
    return "\n\n".join(parts)


def summary(found: Changes) -> list[str]:
    """The totals, line by line."""
    lines = [
        f"verdicts changed: {_counted(found.claims)} claims, {_counted(found.capabilities)} capability verdicts",
        *(f"  {change.id}: {' -> '.join(change.verdicts)}" for change in found.changed),
    ]
    for unit, what in (("in_widths", "intervals"), ("in_margins", "margins")):
        if most := largest(found.claims, unit):
            value = number(getattr(most, unit))
            lines.append(
                f"largest difference in {what} of its claim: {value} ({most.id}, {number(most.difference, sign=True)})"
            )
    return lines


def largest(claims: Sequence[Change], unit: str) -> Change | None:
    """The claim whose difference is the largest in this unit, 'in_widths' or 'in_margins'; None if none has one."""
    known = [claim for claim in claims if getattr(claim, unit) is not None]
    return max(known, key=lambda claim: getattr(claim, unit), default=None)


def rows(found: Changes, what: str) -> list[Row]:
    """For the table in benchmarks/RESULTS.md."""
    made = [
        row(
            "precision",
            f"{what}: {kind} that are not float32's",
            [sum(c.changed for c in of)],
            f"of {len(of)}",
            aim="0",
        )
        for kind, of in (("claims' verdicts", found.claims), ("capability verdicts", found.capabilities))
        if of
    ]
    for unit, words in (("in_widths", "widths of its interval over seeds"), ("in_margins", "margins to its threshold")):
        if shares := [share for claim in found.claims if (share := getattr(claim, unit)) is not None]:
            made.append(row("precision", f"{what}: a claim's effect from float32's, in {words}", shares, ""))
            made.append(row("precision", f"{what}: the farthest, in {words}", [max(shares)], ""))
    return made


def as_json(found: Changes) -> dict[str, Any]:
    """Every claim and capability verdict, and the counts."""
    return {
        "changed": {
            "claims": sum(c.changed for c in found.claims),
            "of_claims": len(found.claims),
            "capabilities": sum(c.changed for c in found.capabilities),
            "of_capabilities": len(found.capabilities),
        },
        "claims": [
            {**asdict(c), "in_widths": c.in_widths, "in_margins": c.in_margins, "changed": c.changed}
            for c in found.claims
        ],
        "capabilities": [{"id": c.id, "verdicts": c.verdicts, "changed": c.changed} for c in found.capabilities],
        "largest": {
            unit: {"id": most.id, "value": getattr(most, unit)}
            for unit in ("in_widths", "in_margins")
            if (most := largest(found.claims, unit))
        },
    }


def _counted(of: Sequence[Change]) -> str:
    return f"{sum(change.changed for change in of)} of {len(of)}"
