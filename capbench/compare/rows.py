"""What a comparison of two runs holds: a row per claim, a row per capability verdict, and the differences in set-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from capbench.results import CapabilityState, CollateralState, FinetunedState, RunInfo, Status

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
    kind:        of the quantity; ratios are compared as natural logarithms, and so are the next four.
    differences: B's effect minus A's, one per seed of `seeds`; empty where the runs hold no effects per seed.
    change:      of the margin at the same threshold: mean of the differences, positive if better for the claim.
    ci:          95 % moderated t interval of the change over the seeds; None for fewer than two.
    noise:       the standard deviation that rounding alone gives the change.
    provisional: one of the runs, or what they share, has one seed only: shown, but never a regression.
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
    kind: str = ""
    differences: tuple[float, ...] = ()
    change: float | None = None
    ci: tuple[float, float] | None = None
    noise: float | None = None
    provisional: bool = False
    threshold_a: float | None = None
    threshold_b: float | None = None
    note: str = ""

    @property
    def status_fell(self) -> bool:
        """Whether the claim's status got worse, or it can no longer be decided, or is gone; by rounding or not."""
        if self.outcome in (Outcome.LOST, Outcome.ONLY_A):
            return True
        if self.status_a not in RANK or self.status_b not in RANK:
            return False
        return RANK[self.status_b] < RANK[self.status_a]

    @property
    def regressed(self) -> bool:
        """Whether the status fell, and by more than rounding can do."""
        return self.status_fell and self.outcome is not Outcome.CHANGED and not self.provisional

    def fell_by(self, margin: float) -> bool:
        """Whether all of the interval of the margin's change lies below -margin, and below what rounding does."""
        if self.provisional or self.outcome in (Outcome.ONLY_A, Outcome.ONLY_B):
            return False
        if self.ci is None or self.noise is None:  # a margin that cannot be compared fell if the status did
            return self.regressed
        return self.ci[1] < -max(margin, self.noise)


@dataclass(frozen=True, kw_only=True)
class EvidenceRow:
    """What one tool says in both runs. differences: as for a claim, but in the tool's unit; difference: their mean.

    moved: the readings differ by more than rounding does, or too few of them can be set side by side to tell.
    """

    tool: str
    unit: str
    reading_a: str
    reading_b: str
    value_a: float | None
    value_b: float | None
    seeds: tuple[int, ...] = ()
    differences: tuple[float, ...] = ()
    difference: float | None = None
    moved: bool = False


@dataclass(frozen=True, kw_only=True)
class VerdictRow:
    """One capability verdict in both runs.

    evidence: of the tools that both used, then accuracies on the fine-tuning task, then collateral damage.
    beyond: what changed by more than rounding can do, of 'verdict', 'fine-tuned task' and 'collateral'.
    provisional: one of the runs has one seed only: shown, but never a regression.
    """

    id: str
    model: str
    method_a: str
    method_b: str
    outcome: Outcome
    verdict_a: CapabilityState | None
    verdict_b: CapabilityState | None
    finetuned_a: FinetunedState | None = None
    finetuned_b: FinetunedState | None = None
    collateral_a: CollateralState | None = None
    collateral_b: CollateralState | None = None
    evidence: tuple[EvidenceRow, ...] = ()
    beyond: tuple[str, ...] = ()
    provisional: bool = False
    note: str = ""

    @property
    def regressed(self) -> bool:
        """Whether the verdict is gone, or changed by more than rounding can do."""
        return not self.provisional and (self.outcome is Outcome.ONLY_A or bool(self.beyond))


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
