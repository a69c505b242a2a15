"""A run in a notebook: its records as tables, its figures by matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capbench.errors import UsageError
from capbench.report.answers import answers
from capbench.report.maps import map_sheets
from capbench.report.panels import sheets
from capbench.report.rows import Rows
from capbench.report.words import answer, in_order, line
from capbench.report.write import load as results_of
from capbench.results import Capability, Measurement, Record, Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def load(path: str | Path) -> Report:
    """The report of a run: its folder below the report directory, or its results.json. UsageError says why it cannot be read."""
    return Report(results_of(Path(path)))


class Report:
    """What a run found. results: all of it, as data (see capbench.results); the tables below are made from it."""

    def __init__(self, results: Results) -> None:
        self.results = results

    @property
    def answers(self) -> tuple[str, ...]:
        """What each method did, in a sentence; the counted claims where no model was judged."""
        return tuple(each.did for each in answers(self.results)) or (answer(self.results),)

    @cached_property
    def records(self) -> Rows:
        """A row for each claim: its verdict, and its protocol in columns of their own."""
        return Rows(map(_claim, in_order(self.results.records)))

    @cached_property
    def capabilities(self) -> Rows:
        """A row for each model that was judged: its states, and its protocol in columns of their own."""
        return Rows(map(_model, self.results.capabilities))

    @cached_property
    def evidence(self) -> Rows:
        """A row for each model, tool and seed."""
        return Rows(row for found in self.results.capabilities for row in _evidence(found))

    @cached_property
    def measurements(self) -> Rows:
        """A row for each number that was measured; what several claims read of one model is there for each of them."""
        found = ((r, m) for r in in_order(self.results.records) for m in r.measurements if m.is_number)
        return Rows({**_whose(r), **_measured(m), "value": m.value, "bound": m.bound, "n": m.n} for r, m in found)

    @cached_property
    def curves(self) -> Rows:
        """A row for each point of each curve."""
        found = ((r, m) for r in in_order(self.results.records) for m in r.measurements)
        return Rows({**_whose(r), **_measured(m), **point} for r, m in found for point in _points(m))

    @property
    def figures(self) -> tuple[str, ...]:
        """What `figure` can draw."""
        records = self.results.records
        groups = [sheet.group for sheet in sheets(records)] + [sheet.group for sheet in map_sheets(records)]
        return tuple(dict.fromkeys(groups))

    def figure(self, name: str, row: int = 0) -> Figure:
        """A figure by its name, as in `figures`. row: which of the rows of maps, for figures that consist of such.

        UsageError for one that this run does not have.
        """
        for sheet in sheets(self.results.records):
            if sheet.group == name:
                from capbench.report import figures

                return figures.draw(sheet)
        for of_maps in map_sheets(self.results.records):
            if of_maps.group == name:
                from capbench.report import heatmaps

                if not 0 <= row < len(of_maps.rows):
                    raise UsageError(f"figure {name!r} has no row {row}; it has rows 0 to {len(of_maps.rows) - 1}")
                return heatmaps.draw(of_maps.rows[row])
        raise UsageError(f"this run has no figure {name!r}; it has {', '.join(self.figures) or 'none'}")

    def __repr__(self) -> str:
        return f"<capbench report {self.results.run.run_id}: {' '.join(self.answers)}>"

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{escape(words)}</p>" for words in self.answers)
        return f"<h3>{escape(line(self.results.run.run_id))}</h3>{said}{self.capabilities._repr_html_()}"


def _claim(record: Record) -> dict[str, Any]:
    verdict = record.verdict
    low, high = verdict.ci or (None, None)
    return {
        "id": record.id,
        **_whose(record),
        "status": str(verdict.status),
        "effect": verdict.effect,
        "ci_low": low,
        "ci_high": high,
        "direction": verdict.direction,
        "threshold": verdict.threshold,
        "margin": verdict.margin,
        "seeds": verdict.n_seeds,
        "provisional": verdict.provisional,
        "reason": verdict.reason,
        "statement": record.statement,
        "source": record.source,
        "expected": record.expected,
        "seconds": record.seconds,
        **record.protocol,
    }


def _model(found: Capability) -> dict[str, Any]:
    rest = found.collateral
    return {
        **_judged(found),
        "verdict": str(found.verdict),
        "finetuned": None if found.finetuned is None else str(found.finetuned),
        "collateral": None if rest is None else str(rest.state),
        "worst": None if rest is None else rest.worst,
        "kept": None if rest is None else rest.value,
        "provisional": found.provisional,
        "uncalibrated": ", ".join(found.uncalibrated),
        "reason": found.reason,
        **found.protocol,
    }


def _evidence(found: Capability) -> Iterator[dict[str, Any]]:
    for evidence in found.evidence:
        told = {"tool": evidence.tool, "unit": evidence.unit, "reading": evidence.reading}
        for seed, value in evidence.per_seed.items():
            bound, state = evidence.bounds.get(seed, ""), found.per_seed.get(seed)
            own = {"seed": seed, "value": value, "bound": bound, "state": None if state is None else str(state)}
            yield {**_judged(found), **told, **own}


def _judged(found: Capability) -> dict[str, Any]:
    return {"id": found.id, "method": found.method, "model": found.model, "task": found.task}


def _whose(record: Record) -> dict[str, Any]:
    names = {"claim": record.claim, "case": record.case}
    return {**names, "method": record.method, "model": record.model, "task": record.task}


def _measured(m: Measurement) -> dict[str, Any]:
    return {"group": m.group, "series": m.series, "name": m.name, "seed": m.seed, "unit": m.unit}


def _points(m: Measurement) -> Iterator[dict[str, Any]]:
    if m.curve is not None:
        for x, y in zip(m.curve.x, m.curve.y, strict=True):
            yield {"x_label": m.curve.x_label, "x": x, "y_label": m.curve.y_label, "y": y}
