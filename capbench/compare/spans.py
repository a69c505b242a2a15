"""The drawing of one change: its interval and its seeds, around zero, beside what rounding alone does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from capbench.compare.quantities import moved
from capbench.compare.rows import ClaimRow
from capbench.report.words import typeset

SIZE = (210, 30)  # pixels
ROOM = 1.06  # of the longer side of the axis, so that no end lies on its edge


@dataclass(frozen=True, kw_only=True)
class Span:
    """Where things lie, in pixels from the left; better is to the right. dots: single seeds. words: the same as text."""

    zero: float
    noise_from: float
    noise_width: float
    low: float | None
    high: float | None
    mean: float
    dots: tuple[float, ...]
    words: str


def spans(rows: Iterable[ClaimRow]) -> dict[ClaimRow, Span]:
    """The drawings of the rows that have a change; those of one kind of quantity share an axis, symmetric about zero."""
    known = [row for row in rows if row.change is not None]
    reach: dict[str, float] = {}
    for row in known:
        reach[row.kind] = max(reach.get(row.kind, 0.0), *map(abs, _marks(row)))
    return {row: _span(row, ROOM * reach[row.kind] or 1.0) for row in known}


def _marks(row: ClaimRow) -> list[float]:
    return [row.change or 0.0, row.noise or 0.0, *(row.ci or ()), *by_seed(row).values()]


def by_seed(row: ClaimRow) -> Mapping[int, float]:
    """The change of the margin on each seed; a row holds those of the effect, of which less may be better."""
    total = sum(row.differences)
    sign = -1.0 if row.change is not None and row.change * total < 0 else 1.0
    return dict(zip(row.seeds, (sign * value for value in row.differences), strict=False))


def _span(row: ClaimRow, reach: float) -> Span:
    def at(value: float) -> float:
        return round((value / reach + 1) / 2 * SIZE[0], 1)

    noise = row.noise or 0.0
    return Span(
        zero=at(0.0),
        noise_from=at(-noise),
        noise_width=round(at(noise) - at(-noise), 1),
        low=at(row.ci[0]) if row.ci else None,
        high=at(row.ci[1]) if row.ci else None,
        mean=at(row.change or 0.0),
        dots=tuple(map(at, by_seed(row).values())),
        words=_words(row),
    )


def _words(row: ClaimRow) -> str:
    seeds = [f"seed {seed} {moved(row.kind, value)}" for seed, value in by_seed(row).items()]
    return typeset(", ".join([f"change {moved(row.kind, row.change, row.ci)}", *seeds]))
