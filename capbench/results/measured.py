"""What was measured on one model: a number, a curve, a map, a piece of text; and the checks of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from capbench.results.checks import require_bound, require_finite


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a figure. `x` and `y` have equal lengths; `y` is None where nothing was measured."""

    x: tuple[float, ...]
    y: tuple[float | None, ...]
    x_label: str
    y_label: str

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"a curve needs equally many x and y values, got {len(self.x)} and {len(self.y)}")
        require_finite("curve", *self.x, *self.y)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One heat map: values[i][j] belongs to rows[i] and columns[j].

    Labels are mostly tokens ('$', 'a', '#') and may repeat; `row_label` and `column_label` are the axis titles.
    """

    values: tuple[tuple[float, ...], ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_label: str
    column_label: str

    def __post_init__(self) -> None:
        if not self.rows or not self.columns:
            raise ValueError(f"a grid needs rows and columns, got {len(self.rows)} and {len(self.columns)}")
        if len(self.values) != len(self.rows):
            raise ValueError(
                f"a grid needs a label per row, got {len(self.rows)} for {len(self.values)} rows of values"
            )
        for i, (label, row) in enumerate(zip(self.rows, self.values, strict=True)):
            where = f"row {i} ({label!r}) of a grid"
            if len(row) != len(self.columns):
                raise ValueError(f"{where} needs a value per column, got {len(row)} for {len(self.columns)} columns")
            for j, value in enumerate(row):
                if value is None or not math.isfinite(value):
                    raise ValueError(f"{where} must hold finite numbers, got {value!r} in column {j}")


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What a model wrote, and what it was asked. marked: pieces of the text to be seen at once, as (start, end) in characters."""

    prompt: str
    text: str
    marked: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        ends = [0, *(end for piece in self.marked for end in piece), len(self.text)]
        if ends != sorted(ends):
            raise ValueError(
                f"marked pieces must follow each other in a text of {len(self.text)} characters, got {self.marked}"
            )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number measured on one model, or one picture of it: at most one of curve, grid and passage.

    value: None if the quantity does not exist (a revival that never happened); never a placeholder such as 0.0.
    bound: '>=' or '<=' where only a bound is known, which is then the value (a time that was censored); '' for a plain value.
    unit:  'accuracy' (0..1), 'bits/sample', 'steps', 'neurons', 'ratio', 'retention' …
    n:     number of evaluation strings.
    group: the figure it belongs to: 'fine-tuning', 'pruning', 'probing', 'revival', 'accuracy', 'attention', 'stories' …
    series: the line, map or column within the figure ('O_PT, pruned', 'random rows', 'compiled, block 1', 'after reFT' …).
    """

    name: str
    value: float | None
    unit: str
    n: int
    seed: int
    group: str = ""
    series: str = ""
    curve: Curve | None = None
    grid: Grid | None = None
    note: str = ""
    bound: str = ""
    passage: Passage | None = None

    def __post_init__(self) -> None:
        require_finite(self.name, self.value)
        require_bound(self.name, self.value, self.bound)
        if sum(picture is not None for picture in (self.curve, self.grid, self.passage)) > 1:
            raise ValueError(f"{self.name or 'a measurement'} must have one of curve, grid and passage, not several")

    @property
    def is_number(self) -> bool:
        """Whether this is a plain number, not a picture (a picture may have a summary value)."""
        return self.curve is None and self.grid is None and self.passage is None


@dataclass(frozen=True, kw_only=True)
class Control:
    """A check that a measurement can distinguish presence from absence: the expected and the observed value.

    value: the mean over seeds, ci its interval (before schema 8: the worst seed, without one). undecided: neither passed nor
    failed, as the interval straddles a limit.
    """

    name: str
    value: float | None
    expected: str
    passed: bool
    ci: tuple[float, float] | None = None
    undecided: bool = False

    def __post_init__(self) -> None:
        require_finite(self.name, self.value, *(self.ci or ()))
