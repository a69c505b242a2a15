"""Is agreement with the paper more than a guess would reach? The same score for two baselines, and the skill over them.

Source: the skill score of forecast verification, (ours - baseline) / (1 - baseline) of shares: 0 is no better than the baseline,
1 is all right (Murphy 1988).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

from capbench.fidelity.compare import NEAR, Cell, Figure, near
from capbench.fidelity.paper import Group, Row, Table
from capbench.report.words import DASH

NOTHING, MEANS = "nothing changes", "column means"
WORDS = (
    "Two guesses are scored by the same rule: that nothing changes (the figure before fine-tuning), and the paper's column means "
    "over a group's rows. Skill is (ours - guess) / (1 - guess), of the shares that agree; there is none where the guess is "
    f"always right. Where the paper moves: figures that fine-tuning moves by more than {NEAR} points there."
)
Guess = Callable[[Row, str], float | None]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """How many of the judged figures that it has a guess for agree with that, and how many with ours."""

    name: str
    judged: int
    agree: int
    ours: int

    @property
    def skill(self) -> float | None:
        """Ours over the baseline; None where nothing was judged, or nothing is left to gain."""
        return (self.ours - self.agree) / (self.judged - self.agree) if self.judged > self.agree else None

    @property
    def words(self) -> str:
        skill = DASH if self.skill is None else f"{self.skill:.2f}"
        return f"{self.agree} of {self.judged}, ours {self.ours}, skill {skill}"


@dataclass(frozen=True, kw_only=True)
class Skill:
    """A group's baselines on all judged figures, and on those that fine-tuning moves in the paper, by more than NEAR points."""

    group: Group
    everything: tuple[Baseline, ...]
    moved: tuple[Baseline, ...]

    @property
    def lines(self) -> list[str]:
        """In words, a line for each baseline."""
        return [
            f"{self.group.title}, {b.name}: {b.words}" + (f"; where the paper moves: {m.words}" if m.judged else "")
            for b, m in zip(self.everything, self.moved, strict=True)
            if b.judged
        ]


def skills(table: Table, cells: Sequence[Cell]) -> tuple[Skill, ...]:
    """One per group, in the order of the cells. Column means are over all of the table's rows, whichever were chosen."""
    guesses = {NOTHING: before(table), MEANS: column_means(table)}
    found = []
    for name, group in {cell.row.group.name: cell.row.group for cell in cells}.items():
        judged = [(c.row, f) for c in cells if c.row.group.name == name for f in c.figures if f.agrees is not None]
        moved = [(row, f) for row, f in judged if _moves(guesses[NOTHING](row, f.name), f)]
        everything, alone = (
            tuple(_baseline(words, guess, figures) for words, guess in guesses.items()) for figures in (judged, moved)
        )
        found.append(Skill(group=group, everything=everything, moved=alone))
    return tuple(found)


def before(table: Table) -> Guess:
    """The figure before fine-tuning: the paper's own where it has one, else what holds by construction, if anything does."""

    def guess(row: Row, column: str) -> float | None:
        known = table.figures[column].before
        return row.paper[known] if isinstance(known, str) else known

    return guess


def column_means(table: Table) -> Guess:
    """The mean of a column over the rows of a group, in the paper."""
    return lambda row, column: mean(r.paper[column] for r in table.rows if r.group.name == row.group.name)


def _baseline(name: str, guess: Guess, figures: Sequence[tuple[Row, Figure]]) -> Baseline:
    known = [(f, value) for row, f in figures if (value := guess(row, f.name)) is not None]
    return Baseline(
        name=name,
        judged=len(known),
        agree=sum(near(value, f.paper) for f, value in known),
        ours=sum(f.agrees is True for f, _ in known),
    )


def _moves(guess: float | None, figure: Figure) -> bool:
    return guess is not None and not near(guess, figure.paper)
