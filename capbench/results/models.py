"""What became of a model: its states, and the evidence for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from capbench.results.checks import require_bound, require_finite

# Entries of a protocol that are not part of a case's name: the numbers behind its names, and how they were computed.
DERIVED = frozenset({"eta", "steps", "pretrain_steps", "precision"})


class CapabilityState(StrEnum):
    """What fine-tuning did to the pretraining capability. destroyed: it went, and everything else with it."""

    INTACT = "intact"
    WRAPPED = "wrapped"
    DELETED = "deleted"
    DESTROYED = "destroyed"
    UNDECIDED = "undecided"


class CollateralState(StrEnum):
    """What fine-tuning did to the other families and operands that the base model knew, at worst."""

    KEPT = "kept"
    DAMAGED = "damaged"
    LOST = "lost"


class RelabellingState(StrEnum):
    """What a fixed relabelling of a model's answers gives back of the capability.

    suffices: what would count as behaviour kept, and far more than of a model that never had it. nearly suffices: less, but still
    far more than of such a model. follows from the task: what would count as kept, and hardly more than of such a model. falls
    short: neither.
    """

    SUFFICES = "suffices"
    MOSTLY = "nearly suffices"
    FOLLOWS = "follows from the task"
    FALLS_SHORT = "falls short"
    DIFFERS = "differs by seed"


class FinetunedState(StrEnum):
    """How the fine-tuning task itself was learned."""

    AMPLIFIED = "amplified"
    SHORTCUT = "shortcut"
    LEARNED = "learned"
    NOT_LEARNED = "not learned"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The reading of one tool for one model; reading: 'present', 'absent', 'unclear' or 'not measured'.

    value: the mean over seeds. Where some are bounds it is a bound too, on every seed's, as `bound` says ('>=' or '<='); None
    where they bound nothing together. per_seed: None where it was not measured or has no value. bounds: the seeds whose value
    is only a bound.
    """

    tool: str
    value: float | None
    unit: str
    reading: str
    rule: str  # the documented threshold
    per_seed: Mapping[int, float | None] = field(default_factory=dict)
    bound: str = ""
    bounds: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_finite(self.tool, self.value, *self.per_seed.values())
        require_bound(self.tool, self.value, self.bound)
        for seed, bound in self.bounds.items():
            require_bound(f"{self.tool}, seed {seed}", self.per_seed.get(seed), bound)


@dataclass(frozen=True, kw_only=True)
class Collateral:
    """What became of the other families and operands that the base model knew.

    worst: the one that suffered most; value: its accuracy as a share of the base model's, the mean over seeds; per_seed: the
    worst share on each seed, None where it was not measured.
    """

    state: CollateralState
    worst: str
    value: float | None
    per_seed: Mapping[int, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_finite(self.worst, self.value, *self.per_seed.values())


@dataclass(frozen=True, kw_only=True)
class Relabelling:
    """O_PT accuracy after the best fixed relabelling of a model's own answers, fitted and scored on different strings.

    value: of the fine-tuned model; twin: of a never-taught model after the same method; constant: of the commonest answer alone.
    All are means over the seeds in per_seed, which has the fine-tuned model's.
    """

    state: RelabellingState
    value: float
    twin: float
    constant: float
    per_seed: Mapping[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_finite("relabelling", self.value, self.twin, self.constant, *self.per_seed.values())


@dataclass(frozen=True, kw_only=True)
class Capability:
    """The joint verdict of all tools on one model × task × protocol × method.

    per_seed: the state on each seed, from which the verdict was counted. collateral: None where the base model knew nothing else,
    or where it was not measured. relabelling: None where it was not measured. provisional: from a single seed. uncalibrated: the
    tools with a vote that were read, but never calibrated for this study and scale.
    """

    model: str
    task: str
    method: str
    protocol: Mapping[str, Any]
    verdict: CapabilityState
    finetuned: FinetunedState | None
    evidence: tuple[Evidence, ...]
    reason: str = ""
    study: str = ""
    uncalibrated: tuple[str, ...] = ()
    per_seed: Mapping[int, CapabilityState] = field(default_factory=dict)
    collateral: Collateral | None = None
    relabelling: Relabelling | None = None
    provisional: bool = False

    @property
    def id(self) -> str:
        """Task and case names, as in `pcfg counter a to b[prior=low,c_tr=1,lr=small]`."""
        case = ",".join(f"{k}={v}" for k, v in self.protocol.items() if k not in DERIVED)
        return f"{self.task}[{case}]"
