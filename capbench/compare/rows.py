"""What a comparison of two runs holds: a row per claim, a row per capability verdict, and the differences in set-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from capbench.results import CapabilityState, FinetunedState, RunInfo, Status

RANK: Mapping[Status | None, int] = {
    Status.REFUTED: 0,
    Status.INCONCLUSIVE: 1,
    Status.SUPPORTED: 2,
}  # an invalid claim has no place in this order


class Outcome(StrEnum):
    """What became of a row from run A to run B."""

    UNCHANGED = "unchanged"
    IMPROVED = "improved"
    WORSE = "worse"
    CHANGED = "changed"  # neither better nor worse, or not certainly so
    LOST = "lost"  # was decided, and is invalid now
    GAINED = "gained"
    NOT_COMPARABLE = "not comparable"
    ONLY_A = "only in A"
    ONLY_B = "only in B"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A fact about how the runs were made that differs between them."""

    what: str
    a: str
    b: str


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One claim in both runs.

    seeds:       those that both runs have; effects, differences and change are about these alone.
    differences: B's effect minus A's, one per seed of `seeds`; empty where the runs hold no effects per seed.
    change:      of the margin at the same threshold: mean of the differences, positive if better for the claim.
    ci:          95 % bootstrap interval of the change over the seeds; None for fewer than two.
    note:        what keeps the two from being compared, or what else differs.
    """

    id: str
    model: str
    task: str
    method_a: str
    method_b: str
    outcome: Outcome
    status_a: Status | None
    status_b: Status | None
    effect_a: float | None = None
    effect_b: float | None = None
    seeds: tuple[int, ...] = ()
    differences: tuple[float, ...] = ()
    change: float | None = None
    ci: tuple[float, float] | None = None
    threshold_a: float | None = None
    threshold_b: float | None = None
    note: str = ""

    @property
    def status_fell(self) -> bool:
        """Whether the claim's status got worse, or it can no longer be decided, or is gone."""
        if self.outcome in (Outcome.LOST, Outcome.ONLY_A):
            return True
        if self.status_a not in RANK or self.status_b not in RANK:
            return False
        return RANK[self.status_b] < RANK[self.status_a]


@dataclass(frozen=True, kw_only=True)
class EvidenceRow:
    """What one tool says in both runs. differences: as for a claim, in the tool's unit; difference: their mean."""

    tool: str
    unit: str
    reading_a: str
    reading_b: str
    value_a: float | None
    value_b: float | None
    seeds: tuple[int, ...] = ()
    differences: tuple[float, ...] = ()
    difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """One capability verdict in both runs. evidence: of the tools that both used."""

    id: str
    model: str
    method_a: str
    method_b: str
    outcome: Outcome
    verdict_a: CapabilityState | None
    verdict_b: CapabilityState | None
    finetuned_a: FinetunedState | None = None
    finetuned_b: FinetunedState | None = None
    evidence: tuple[EvidenceRow, ...] = ()
    note: str = ""

    @property
    def verdict_changed(self) -> bool:
        """Whether the verdict, or what became of the fine-tuning task, differs; moved evidence alone does not count."""
        both = self.verdict_a is not None and self.verdict_b is not None
        return both and (self.verdict_a, self.finetuned_a) != (self.verdict_b, self.finetuned_b)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Run A, the older one or the baseline, beside run B. Rows are in the order of their ids; notes are whole lines."""

    a: RunInfo
    b: RunInfo
    setup: tuple[Difference, ...]
    notes: tuple[str, ...]
    claims: tuple[ClaimRow, ...]
    verdicts: tuple[VerdictRow, ...]

    @property
    def moved_claims(self) -> tuple[ClaimRow, ...]:
        return tuple(row for row in self.claims if row.outcome is not Outcome.UNCHANGED)

    @property
    def moved_verdicts(self) -> tuple[VerdictRow, ...]:
        return tuple(row for row in self.verdicts if row.outcome is not Outcome.UNCHANGED)

    @property
    def several_methods(self) -> bool:
        """Whether a row needs the name of its method, as one of the runs has more than one."""
        rows: list[ClaimRow | VerdictRow] = [*self.claims, *self.verdicts]
        names = ({row.method_a for row in rows}, {row.method_b for row in rows})
        return any(len(of_run - {""}) > 1 for of_run in names)
