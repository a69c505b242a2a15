"""The paper's figures beside ours: which are judged, which agree, how many. Pure arithmetic, in per cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean

from capbench.claims import interval
from capbench.fidelity.paper import Row

LOW, HIGH = 20, 80  # the paper's figure is decisive below the one or above the other: it says 'cannot' or 'can'
NEAR = 20  # points; this near to a decisive figure is on its side of 50, too
RULE = (
    f"A figure of the paper below {LOW} or above {HIGH} is decisive. Ours, the mean over seeds, agrees if it lies within "
    f"{NEAR} points of it (and so on the same side of 50). Other figures are shown but not judged."
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One number of the paper and ours on every seed: None where there is none, as its training diverged or failed."""

    name: str
    paper: float
    per_seed: tuple[float | None, ...]

    @property
    def ours(self) -> float | None:
        """Our mean over seeds; None unless every seed has a number."""
        values = self._values
        return mean(values) if values else None

    @cached_property
    def ci(self) -> tuple[float, float] | None:
        """95 % interval over seeds; None where there is no mean, or one seed."""
        return interval(self._values)

    @property
    def decisive(self) -> bool:
        """Whether the paper's figure is clear enough to be held against ours."""
        return self.paper < LOW or self.paper > HIGH

    @property
    def agrees(self) -> bool | None:
        """None where it is not judged. What could not be measured does not agree."""
        if not self.decisive:
            return None
        # Rounded, as 0.29 * 100 is not 29.
        return self.ours is not None and round(abs(self.ours - self.paper), 6) <= NEAR

    @property
    def _values(self) -> list[float]:
        known = [value for value in self.per_seed if value is not None]
        return known if len(known) == len(self.per_seed) else []


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row of the table, compared. diverged, failed: why it has no numbers, if so; failed: a model could not be made."""

    row: Row
    figures: tuple[Figure, ...]
    diverged: str = ""
    failed: str = ""

    @property
    def disagreements(self) -> tuple[Figure, ...]:
        return tuple(figure for figure in self.figures if figure.agrees is False)


@dataclass(frozen=True, kw_only=True)
class Score:
    """How many decisive figures of a task agree."""

    task: str
    agree: int
    decisive: int

    @property
    def words(self) -> str:
        if not self.decisive:
            return f"{self.task}: no decisive figures"
        share = round(100 * self.agree / self.decisive)
        return f"{self.task}: {self.agree} of {self.decisive} decisive figures agree ({share} %)"


def compare(row: Row, ours: Sequence[Mapping[str, float] | None], *, diverged: str = "", failed: str = "") -> Cell:
    """A row beside ours: per seed the figures by name, or None where that seed has none."""
    figures = tuple(
        Figure(name=name, paper=paper, per_seed=tuple(None if seed is None else seed[name] for seed in ours))
        for name, paper in row.paper.items()
    )
    return Cell(row=row, figures=figures, diverged=diverged, failed=failed)


def scores(cells: Sequence[Cell]) -> tuple[Score, ...]:
    """One per task, in the order of the cells."""
    found = []
    for task in dict.fromkeys(cell.row.task for cell in cells):
        judged = [f.agrees for cell in cells if cell.row.task == task for f in cell.figures if f.agrees is not None]
        found.append(Score(task=task, agree=sum(judged), decisive=len(judged)))
    return tuple(found)
