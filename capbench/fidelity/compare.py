"""The paper's figures beside ours: which are judged, which agree, how many. Pure arithmetic, in per cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from statistics import mean

from capbench.fidelity.paper import Group, Row
from capbench.verdicts.effects import Effect
from capbench.verdicts.statistics import estimate

LOW, HIGH = 20, 80  # the paper's figure is decisive below the one or above the other: it says 'cannot' or 'can'
NEAR = 20  # points; a figure this near to a decisive one is on the same side of 50
RULE = (
    f"A figure of the paper below {LOW} or above {HIGH} is decisive. Ours, the mean over seeds, agrees if it lies within "
    f"{NEAR} points of it (and so on the same side of 50). Other figures are shown but not judged, nor are those whose "
    "models are not made yet or that cannot be measured; a training that diverged or failed does not agree."
)


def near(value: float, paper: float) -> bool:
    """Whether a figure lies within NEAR points of the paper's. Rounded, as 0.29 * 100 is not 29."""
    return round(abs(value - paper), 6) <= NEAR


class Gap(StrEnum):
    """Why there is no number, as shown in its place."""

    FAILED = "failed"  # a model could not be made
    DIVERGED = "diverged"
    UNMADE = "not yet"  # made: the time was up
    UNMEASURED = "\N{EN DASH}"  # the model is there, but nothing was recorded: a method with a loop of its own


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of the paper and ours on every seed, None where there is none; gap: why, if there are such seeds."""

    name: str
    paper: float
    per_seed: tuple[float | None, ...]
    gap: Gap | None = None

    @property
    def ours(self) -> float | None:
        """Our mean over seeds; None unless every seed has a number."""
        values = self._values
        return mean(values) if values else None

    @cached_property
    def ci(self) -> tuple[float, float] | None:
        """95 % t interval over seeds, on the scale of accuracies, without a prior; None where there is no mean, or one seed."""
        found = estimate(Effect((value / 100 for value in self._values), kind="accuracy", priors={}))
        if found is None:
            return None
        low, high = found.interval()
        return 100 * low, 100 * high

    @property
    def decisive(self) -> bool:
        """Whether the paper's figure is clear enough to compare ours with."""
        return self.paper < LOW or self.paper > HIGH

    @property
    def agrees(self) -> bool | None:
        """None where it is not judged. What diverged or failed does not agree: the paper's models did neither."""
        if not self.decisive or self.gap in (Gap.UNMADE, Gap.UNMEASURED):
            return None
        return self.ours is not None and near(self.ours, self.paper)

    @property
    def _values(self) -> list[float]:
        known = [value for value in self.per_seed if value is not None]
        return known if len(known) == len(self.per_seed) else []


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row of the table, compared. diverged, failed, unmade: which seeds have no numbers for that reason, and why."""

    row: Row
    figures: tuple[Figure, ...]
    diverged: str = ""
    failed: str = ""
    unmade: str = ""

    @property
    def gap(self) -> Gap | None:
        """Why the row has no numbers; the worst, if seeds differ."""
        reasons = {Gap.FAILED: self.failed, Gap.DIVERGED: self.diverged, Gap.UNMADE: self.unmade}
        return next((gap for gap, seeds in reasons.items() if seeds), None)

    @property
    def disagreements(self) -> tuple[Figure, ...]:
        return tuple(figure for figure in self.figures if figure.agrees is False)


@dataclass(frozen=True, kw_only=True)
class Score:
    """How many decisive figures of a group agree."""

    group: Group
    agree: int
    decisive: int

    @property
    def words(self) -> str:
        if not self.decisive:
            return f"{self.group.title}: nothing to judge"
        share = round(100 * self.agree / self.decisive)
        return f"{self.group.title}: {self.agree} of {self.decisive} decisive figures agree ({share} %)"


def compare(
    row: Row,
    ours: Sequence[Mapping[str, float | None] | None],
    *,
    diverged: str = "",
    failed: str = "",
    unmade: str = "",
) -> Cell:
    """A row beside ours: per seed the figures by column, or None where that seed has none."""
    cell = Cell(row=row, figures=(), diverged=diverged, failed=failed, unmade=unmade)
    return replace(cell, figures=tuple(_figure(name, paper, ours, cell.gap) for name, paper in row.paper.items()))


def _figure(name: str, paper: float, ours: Sequence[Mapping[str, float | None] | None], gap: Gap | None) -> Figure:
    per_seed = tuple(None if seed is None else seed[name] for seed in ours)
    return Figure(name=name, paper=paper, per_seed=per_seed, gap=gap or (Gap.UNMEASURED if None in per_seed else None))


def scores(cells: Sequence[Cell]) -> tuple[Score, ...]:
    """One per group, in the order of the cells."""
    found = []
    for name, group in {cell.row.group.name: cell.row.group for cell in cells}.items():
        judged = [f.agrees for c in cells if c.row.group.name == name for f in c.figures if f.agrees is not None]
        found.append(Score(group=group, agree=sum(judged), decisive=len(judged)))
    return tuple(found)
