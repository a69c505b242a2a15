"""The leaderboard as a page that needs no network: two views of all methods, and the tables, which sort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from capbench.compare.leaderboard.pareto import front
from capbench.compare.leaderboard.show import Table, tables
from capbench.compare.leaderboard.standings import Leaderboard, Score, Standing
from capbench.report.charts import scatter
from capbench.report.page import rendered
from capbench.report.words import interval, line, number, typeset
from capbench.results import CapabilityState

TEMPLATES = Path(__file__).parents[1] / "templates"
Chosen = Callable[[Standing], Score]


@dataclass(frozen=True, kw_only=True)
class View:
    """Two respects in which methods are seen at once. svg: None where no method has both figures.

    missing: methods that lack a figure.
    """

    title: str
    about: str
    svg: Markup | None
    best: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method in the first table. states: how many models are in each, undecided last. scores: text and what it sorts by."""

    method: str
    run_id: str
    states: tuple[tuple[str, int], ...]
    scores: tuple[tuple[str, float | None], ...]


HEAD = ("O_FT reached", "O_PT accuracy", "hidden", "deleted", "worst of the rest", "steps", "seconds")


def to_page(found: Leaderboard) -> str:
    """The page."""
    return rendered(
        "leaderboard.html.j2",
        folder=TEMPLATES,
        found=found,
        views=views(found),
        head=HEAD,
        rows=[_row(each) for each in found.standings],
        tables=[_typeset(table) for table in list(tables(found))[1:]],
    )


def views(found: Leaderboard) -> list[View]:
    """What each method taught against what it hid, and what it deleted against what it spared."""
    return [
        _view(
            found,
            title="New task reached, old capability hidden",
            about="To the right: more of the new task was reached. Down: on fewer seeds the old capability is hidden (wrapped).",
            x=lambda s: s.learned,
            y=lambda s: s.hidden,
            labels=("O_FT accuracy on strings like those of fine-tuning", "share of seeds with O_PT hidden"),
            better=(1, -1),
        ),
        _view(
            found,
            title="Old capability deleted, the rest spared",
            about="To the right: the old capability is deleted on more seeds. Up: the worst of all else kept more.",
            x=lambda s: s.deleted,
            y=lambda s: s.spared,
            labels=("share of seeds with O_PT deleted", "worst of the rest, as a share of the base model's accuracy"),
            better=(1, 1),
        ),
    ]


def _view(
    found: Leaderboard,
    *,
    title: str,
    about: str,
    x: Chosen,
    y: Chosen,
    labels: tuple[str, str],
    better: tuple[int, int],
) -> View:
    known: dict[str, tuple[float, float]] = {}
    for each in found.standings:
        across, up = x(each).value, y(each).value
        if across is not None and up is not None:
            known[each.method] = (across, up)
    best = front(known, better)
    ordered = [*best, *(name for name in known if name not in best)]
    by_name = {each.method: each for each in found.standings}
    points = [
        scatter.Point(
            name=name,
            x=_within(known[name][0]),
            y=_within(known[name][1]),
            x_ci=x(by_name[name]).ci,
            y_ci=_cut(y(by_name[name]).ci),
            best=name in best,
        )
        for name in ordered
    ]
    return View(
        title=title,
        about=about,
        svg=scatter.draw(points, x_label=labels[0], y_label=labels[1], title=title) if points else None,
        best=tuple(map(line, best)),
        missing=tuple(line(each.method) for each in found.standings if each.method not in known),
    )


def _within(value: float) -> float:
    """A share of the base model's accuracy may lie a little above 1."""
    return min(max(value, 0.0), 1.0)


def _cut(ci: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if ci is None else (_within(ci[0]), _within(ci[1]))


def _row(each: Standing) -> Row:
    counts = [(state, n) for state, n in each.verdicts.items() if n]
    counts.sort(key=lambda item: item[0] == CapabilityState.UNDECIDED)  # stable
    scores = [each.learned, each.accuracy, each.hidden, each.deleted, each.spared]
    costs = [each.cost.steps, each.cost.seconds]
    return Row(
        method=line(each.method),
        run_id=line(each.run_id),
        states=tuple(counts),
        scores=(
            *((typeset(number(s.value) + (f" {interval(s.ci)}" if s.ci else "")), s.value) for s in scores),
            *((typeset(number(cost, unit="steps")) if cost is None else f"{cost:.0f}", cost) for cost in costs),
        ),
    )


def _typeset(table: Table) -> Table:
    cells: Sequence[list[str]] = [[row[0], *map(typeset, row[1:])] for row in table.rows]
    return Table(title=table.title, head=table.head, rows=list(cells))
