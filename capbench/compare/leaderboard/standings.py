"""What a leaderboard holds: a standing per method, a case per model it was judged on, a cell per tool and case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capbench.results import CapabilityState, CollateralState, FinetunedState


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one tool measured on one case: the mean over the seeds that count (of ratios the geometric), and its 95 % interval.

    A tool counts on the seeds on which the behaviour was lost; the behaviour itself, and collateral damage, on all.
    per_seed: the values that were measured on these. missing: how many of them have no value, as it was censored or not measured;
    such a seed is no part of the mean.
    """

    value: float | None
    ci: tuple[float, float] | None
    unit: str
    per_seed: Mapping[int, float]
    missing: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one fine-tuning, the mean over seeds. seconds: of the training itself, as recorded when the model was made."""

    steps: float | None
    tokens: float | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model that a method was judged on. lost: seeds on which the behaviour was not kept; provisional: from one seed.

    states: by seed; empty where an old run of several seeds recorded none.
    learned: by seed, the accuracy on the fine-tuning task, on strings with the correlation where most training texts had it, else
    on strings without. spared: by seed, what the worst of all else kept of the base model's accuracy. Empty: not measured.
    """

    model: str
    id: str
    state: CapabilityState
    finetuned: FinetunedState | None
    collateral: CollateralState | None
    states: Mapping[int, CapabilityState]
    lost: tuple[int, ...]
    provisional: bool
    tools: Mapping[str, Cell]
    cost: Cost
    learned: Mapping[int, float]
    spared: Mapping[int, float]

    @property
    def name(self) -> str:
        """Model and case in one."""
        return f"{self.model}, {self.id}"


@dataclass(frozen=True, kw_only=True)
class Score:
    """A method in one number: the mean over the cases that all methods share, and its 95 % interval by bootstrap."""

    value: float | None
    ci: tuple[float, float] | None
    cases: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One method in one run, with its cases in the order of their names.

    verdicts, finetuned, collateral: how many models have each state; collateral was not measured for the others.
    accuracy: on the pretraining task after fine-tuning; learned: on the fine-tuning task, see `Case`.
    hidden, deleted: the shares of the decided seeds on which the capability is wrapped, and deleted (not destroyed).
    spared: what the worst of all else kept.
    cost: of fine-tuning once, on one seed, each model of which all methods recorded the cost.
    """

    method: str
    run_id: str
    models: int
    verdicts: Mapping[str, int]
    finetuned: Mapping[str, int]
    collateral: Mapping[str, int]
    accuracy: Score
    learned: Score
    hidden: Score
    deleted: Score
    spared: Score
    cost: Cost
    cases: tuple[Case, ...]


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """Methods in alphabetical order. shared: models that all were judged on; notes: what keeps them from being compared."""

    scale: str
    shared: int
    standings: tuple[Standing, ...]
    notes: tuple[str, ...]
