"""What a test of a claim found: its status, its numbers, and everything that went into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from capbench.results.checks import require_finite
from capbench.results.measured import Control, Measurement


class Status(StrEnum):
    """The four outcomes of a claim; only `supported` is a pass."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a claim. margin: signed distance of the effect to the threshold, positive if the claim holds.

    ci: the 95 % interval of the effect. how: how it was found, in words. provisional: from a single seed, so that it rests on the
    prior alone. p_supported, p_refuted: one-sided p-values of all effects that contradict the claim, and of all that fit it; the
    claim is supported or refuted where its own is at most alpha. None: there is no spread to tell from.
    """

    status: Status
    effect: float | None
    ci: tuple[float, float] | None
    threshold: float | None
    direction: str  # '>=' or '<='
    margin: float | None
    n_seeds: int
    per_seed: tuple[float | None, ...] = ()
    what: str = ""  # the quantity compared, in words
    reason: str = ""
    how: str = ""
    provisional: bool = False
    p_supported: float | None = None
    p_refuted: float | None = None
    alpha: float = 0.025

    def __post_init__(self) -> None:
        require_finite(self.what, self.effect, self.threshold, self.margin, *(self.ci or ()), *self.per_seed)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A claim tried on one variant of its task.

    id: of the variant; words: how it differs from the simplest; variant: the whole variant, as plain values.
    effect, margin: of the deciding condition. shrunk_from: the variant that this one simplifies, '' if it was drawn.
    simplest: whether the search for the simplest refuted variant ended here.
    """

    id: str
    words: str
    variant: Mapping[str, Any]
    status: Status
    effect: float | None
    margin: float | None
    reason: str = ""
    shrunk_from: str = ""
    simplest: bool = False

    def __post_init__(self) -> None:
        require_finite(f"variant {self.id}", self.effect, self.margin)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One test of one claim, with everything that went into its verdict.

    claim: dotted id ('wrapper.pruning'); case: its parameters ('prior=low,c_tr=1,lr=small').
    protocol: prior, c_tr, lr, steps … of the judged model; artefacts: store keys by role and seed.
    """

    claim: str
    case: str
    statement: str
    source: str
    nodeid: str
    model: str
    task: str
    method: str
    protocol: Mapping[str, Any]
    verdict: Verdict
    seeds: tuple[int, ...] = ()
    controls: tuple[Control, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    artefacts: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    expected: str = (
        ""  # the status the user expects, with the reason, if it differs from the paper's ('refuted: deletes')
    )
    trials: tuple[Trial, ...] = ()  # of a claim tried on variants of its task
    study: str = ""  # the experiment that the claim is about; schemas 1 to 5 did not say

    @property
    def id(self) -> str:
        """Claim and case, as in `wrapper.pruning[prior=low,c_tr=1,lr=small]`."""
        return f"{self.claim}[{self.case}]" if self.case else self.claim
